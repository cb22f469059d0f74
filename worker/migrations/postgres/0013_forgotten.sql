-- What was forgotten: who asked for it, what is left to be removed outside of the ledger, and what does not come back. See the
-- migration of the same name for SQLite.

create table forgetting (
    id          bigint generated always as identity primary key,
    state       text collate "C" not null check (state in ('open', 'clearing', 'done')),
    what        text,
    after       text,
    uploads     text collate "C",
    newest_run  bigint not null default 0,
    assets      bigint not null default 0,
    places      bigint not null default 0,
    suggestions bigint not null default 0,
    decisions   bigint not null default 0,
    files       bigint not null default 0,
    kept        bigint not null default 0,
    reviewer    text not null,
    client      text not null,
    created_at  bigint not null,
    finished_at bigint
);
create index forgetting_open on forgetting (id) where state <> 'done';
create index forgetting_newest_run on forgetting (newest_run);
create function forgetting_only_grows() returns trigger language plpgsql as $$
begin
    raise exception 'the log of forgetting only grows';
end $$;
create trigger forgetting_is_not_changed before update on forgetting for each row when (old.state = 'done')
    execute function forgetting_only_grows();
create trigger forgetting_is_not_deleted before delete or truncate on forgetting
    for each statement execute function forgetting_only_grows();

create table forgetting_rest (
    id            bigint generated always as identity primary key,
    forgetting_id bigint not null references forgetting (id),
    asset_id      text collate "C" not null,
    file          text,
    content_hash  text,
    picture       text,
    not_before    bigint not null
);
create index forgetting_rest_due on forgetting_rest (not_before, id);
create index forgetting_rest_of on forgetting_rest (forgetting_id, not_before);
create index forgetting_rest_asset on forgetting_rest (asset_id);

create table forgotten (
    sequence      bigint generated always as identity primary key,
    mark          text collate "C" not null unique,
    asset_mark    text collate "C" not null,
    forgetting_id bigint not null references forgetting (id),
    at            bigint not null
);

create index forgotten_asset on forgotten (asset_mark);

-- Entries of the review log go with the asset that they are about, and only then.
drop trigger review_is_kept on review;
create trigger review_is_kept before update or truncate on review
    for each statement execute function review_only_grows();
create function review_goes_with_its_asset() returns trigger language plpgsql as $$
begin
    if exists (select 1 from suggestion s join forgetting_rest f on f.asset_id = s.asset_id
               where s.id = old.suggestion_id) then
        return old;
    end if;
    raise exception 'the review log only grows';
end $$;
create trigger review_is_not_deleted before delete on review
    for each row execute function review_goes_with_its_asset();

drop index reading_asset;
create index reading_asset on reading (asset_id);
-- Events about an asset that is forgotten are not told any more.
create index outbox_asset on outbox ((body ->> 'asset_id'));
-- Jobs about one asset.
create index job_asset on job ((filter ->> 'asset'));
