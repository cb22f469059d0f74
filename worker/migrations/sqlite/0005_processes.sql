-- Who lives. One process works on this file, and takes over all leases when it starts; see migrations/postgres for what the
-- columns say.

create table process (
    owner       text primary key not null,
    alive_until integer not null,
    judges_at   integer not null
) without rowid;
