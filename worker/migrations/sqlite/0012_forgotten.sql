-- What was forgotten: who asked for it, what is left to be removed outside of the ledger, and what does not come back.

-- The log of forgetting. It says who, when and how many. What it is about is there until it is done.
create table forgetting (
    id          integer primary key autoincrement,
    -- open: portions are left. clearing: the ledger has forgotten, and what lies elsewhere goes.
    state       text not null check (state in ('open', 'clearing', 'done')),
    -- JSON: what is forgotten, and where the next portion begins.
    what        text,
    after       text,
    -- The address of the folder of uploads where it was begun. A process that has another one leaves it alone.
    uploads     text,
    -- The newest run when runs were removed: numbers of runs never go back.
    newest_run  integer not null default 0,
    assets      integer not null default 0,
    places      integer not null default 0,
    suggestions integer not null default 0,
    decisions   integer not null default 0,
    files       integer not null default 0,
    -- Assets that also lie elsewhere, and lost places only.
    kept        integer not null default 0,
    reviewer    text not null,
    client      text not null,
    created_at  integer not null,
    finished_at integer
);
create index forgetting_open on forgetting (id) where state <> 'done';
create index forgetting_newest_run on forgetting (newest_run);
create trigger forgetting_is_not_changed before update on forgetting when old.state = 'done'
begin
    select raise(abort, 'the log of forgetting only grows');
end;
create trigger forgetting_is_not_deleted before delete on forgetting
begin
    select raise(abort, 'the log of forgetting only grows');
end;

-- What is to be removed outside of the ledger: the vectors of an asset in the index, or a file that docent stored.
create table forgetting_rest (
    id            integer primary key autoincrement,
    forgetting_id integer not null references forgetting (id),
    asset_id      text not null,
    file          text,
    -- The hashes of its bytes and of its picture, as far as they are known: another file may lie there by then.
    content_hash  text,
    picture       text,
    -- A run that was in work may still write to the index: that is looked at again when its lease is over.
    not_before    integer not null
);
create index forgetting_rest_due on forgetting_rest (not_before, id);
create index forgetting_rest_of on forgetting_rest (forgetting_id, not_before);
create index forgetting_rest_asset on forgetting_rest (asset_id);

-- Pictures that do not come back, by a hash of their hash.
create table forgotten (
    sequence      integer primary key autoincrement,
    mark          text not null unique,
    -- The mark of its asset: a picture may be known by several.
    asset_mark    text not null,
    forgetting_id integer not null references forgetting (id),
    at            integer not null
);

create index forgotten_asset on forgotten (asset_mark);

-- Entries of the review log go with the asset that they are about, and only then.
drop trigger review_is_not_deleted;
create trigger review_is_not_deleted before delete on review
    when not exists (select 1 from suggestion s join forgetting_rest f on f.asset_id = s.asset_id
                     where s.id = old.suggestion_id)
begin
    select raise(abort, 'the review log only grows');
end;

-- All texts of an asset, not only the living ones, are found when it goes.
drop index reading_asset;
create index reading_asset on reading (asset_id);
-- The trigrams of a text that is removed go at once, not when the index is next merged. What was removed before goes now.
insert into reading_index (reading_index, rank) values ('secure-delete', 1);
insert into reading_index (reading_index) values ('optimize');
-- Jobs about one asset.
create index job_asset on job (filter ->> 'asset');
