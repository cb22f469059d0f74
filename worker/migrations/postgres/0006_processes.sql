-- Who lives, and which submission a place came with.

-- Every process that works says again and again that it lives. Of a run that somebody else has begun this tells whether it
-- goes on or is lost: a connection to the broker that is lost says nothing of that.
create table process (
    owner       text collate "C" primary key,
    -- It has promised to speak again before.
    alive_until bigint not null,
    -- It speaks without a break since long enough to call others silent: after an outage of the ledger nobody has spoken.
    judges_at   bigint not null
);

-- What the program that submitted the place calls its submission; the last one counts.
alter table asset_path add column correlation text;
