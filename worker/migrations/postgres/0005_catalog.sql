-- Every filter is a seek in the order of the listing, or ends after so many rows. Decisions on many suggestions are jobs.

-- Assets in the order of the suggestions: newest first, and by id.
drop index asset_newest;
create index asset_newest on asset (created_at desc, id);
-- All statuses at once are read by their assets.
drop index suggestion_listing;
-- A value's suggestions in the order of the listing. The text of a page can be longer than an index entry may be.
drop index suggestion_value;
create index suggestion_value on suggestion (left(value, 128), status, (-asset_at), asset_id);
-- What is rare is found and counted by itself, whatever is newer.
create index suggestion_sure on suggestion (status, kind_order, confidence) include (asset_at, asset_id);

-- A decision on many suggestions, made a portion at a time by whichever process has time.
create table job (
    id           bigint generated always as identity primary key,
    action       text collate "C" not null check (action in ('accept', 'reject', 'revert')),
    -- collecting: its items are being written down. deciding: they are being decided, and forgotten one by one.
    state        text collate "C" not null check (state in ('collecting', 'deciding', 'done', 'stopped')),
    filter       jsonb not null,
    -- What later runs say is not decided.
    newest_run   bigint not null,
    reverts      bigint unique references job (id),
    -- The last asset (collecting), suggestion (deciding) or entry of the review log (reverting) that was looked at.
    after_at     bigint,
    after_id     text collate "C",
    after_review bigint not null default 0,
    total        bigint not null default 0,
    done         bigint not null default 0,
    skipped      bigint not null default 0,
    reviewer     text not null,
    client       text not null,
    created_at   bigint not null,
    finished_at  bigint
);

create index job_open on job (id) where state in ('collecting', 'deciding');

create table job_item (
    job_id        bigint not null references job (id),
    suggestion_id text collate "C" not null,
    primary key (job_id, suggestion_id)
);

-- The job that a decision was made by.
alter table review add column job_id bigint;
create index review_job on review (job_id, id) where job_id is not null;

-- Runs that are being recorded hold the lock's shared side: who has had the other knows that every run up to the newest
-- can be seen.
create function run_is_numbered() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(hashtext('docent run'));
    return null;
end $$;
create trigger run_is_numbered before insert on run for each statement execute function run_is_numbered();
