-- What may run is found by a seek, however large the archive is and whatever else is pending.
--
-- `pending` names the analyzers that have pending work, sorted and with commas between them; `due` those of them that may
-- run now; `due_next` is when `due` grows next. Every write to work brings them up to date. There are few different texts:
-- leasing steps from one to the next in the index and takes the first assets of each that concerns it.

alter table asset add column pending text collate "C";
alter table asset add column due text collate "C";
alter table asset add column due_next bigint;

drop index asset_ready;
drop index asset_waiting;
create index asset_due on asset (lane, due, suspect, lost_alone, created_at, id)
    where due is not null and lease_until is null;
create index asset_later on asset (pending, due_next) where due_next is not null and lease_until is null;

-- Assets by what is pending, instead of all that are ready.
create or replace function tally_asset_added() returns trigger language plpgsql as $$
begin
    insert into tally (what, delta) select 'asset', count(*) from added having count(*) > 0;
    insert into tally (what, a, delta)
        select 'pending', pending, count(*) from added where pending is not null group by pending;
    return null;
end $$;
create or replace function tally_asset_removed() returns trigger language plpgsql as $$
begin
    insert into tally (what, delta) select 'asset', -count(*) from removed having count(*) > 0;
    insert into tally (what, a, delta)
        select 'pending', pending, -count(*) from removed where pending is not null group by pending;
    return null;
end $$;
create or replace function tally_asset_changed() returns trigger language plpgsql as $$
begin
    insert into tally (what, a, delta)
        select 'pending', pending, sum(n) from (
            select pending, 1 as n from added where pending is not null
            union all select pending, -1 from removed where pending is not null) d
        group by pending having sum(n) <> 0;
    return null;
end $$;
delete from tally where what = 'ready';
alter table asset drop column ready_at;

-- Repairs that go through the whole archive, a portion at a time. The first fills the columns above. A row that is not
-- finished is gone on with by the next process that opens the ledger.
create table repair (
    name        text primary key,
    -- The last asset that was looked at.
    after       text collate "C" not null default '',
    looked_at   bigint not null default 0,
    finished_at bigint
);
insert into repair (name) values ('due');

-- A place that is too long for an index is stored under its beginning and its hash; this is the whole.
alter table asset_path add column whole text collate "C";
