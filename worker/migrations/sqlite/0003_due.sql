-- What may run is found by a seek, however large the archive is and whatever else is pending. See the migration of the
-- same name for PostgreSQL.

alter table asset add column pending text;
alter table asset add column due text;
alter table asset add column due_next integer;

drop index asset_ready;
create index asset_due on asset (lane, due, suspect, lost_alone, created_at, id)
    where due is not null and lease_until is null;
create index asset_later on asset (pending, due_next) where due_next is not null and lease_until is null;
alter table asset drop column ready_at;

create table repair (
    name        text primary key not null,
    -- The last asset that was looked at.
    after       text not null default '',
    looked_at   integer not null default 0,
    finished_at integer
) without rowid;
insert into repair (name) values ('due');
