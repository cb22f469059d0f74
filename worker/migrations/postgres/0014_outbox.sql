-- One outbox, several sinks: each has its own place, and events stay until all have passed them.

-- Ids become visible out of order: a transaction that took an earlier one may end later. So events that are visible get a place in a
-- second step, by one process at a time, and a sink that goes by places misses none.
alter table outbox add column place bigint;
create unique index outbox_place on outbox (place) where place is not null;
create index outbox_new on outbox (id) where place is null;

-- The last place that was given. The process that gives places has locked the row.
create table outbox_end (
    place bigint not null
);
insert into outbox_end (place) values (0);

-- Who is told. Without a row here no event is written.
create table sink (
    name          text collate "C" primary key,
    -- The last event that it took.
    place         bigint not null,
    -- A process had it in its configuration.
    seen_at       bigint not null,
    -- The process that tells it, and until when no other one does.
    owner         text,
    lease_until   bigint not null default 0,
    -- Since when it takes nothing, how often that was tried, when it is tried again, and why it did not.
    attempts      bigint not null default 0,
    failing_since bigint,
    retry_at      bigint not null default 0,
    reason        text,
    -- It is told nothing more until somebody enables it.
    disabled_at   bigint
);
-- What was not told yet.
insert into sink (name, place, seen_at) select 'rabbitmq', 0, docent_now() where exists (select 1 from outbox);
