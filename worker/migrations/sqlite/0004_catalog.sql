-- Every filter is a seek in the order of the listing, or ends after so many rows. Decisions on many suggestions are jobs.

-- Assets in the order of the suggestions: newest first, and by id.
drop index asset_newest;
create index asset_newest on asset (created_at desc, id);
-- All statuses at once are read by their assets.
drop index suggestion_listing;
-- A value's suggestions in the order of the listing.
drop index suggestion_value;
create index suggestion_value on suggestion (value, status, asset_at desc, asset_id);
-- What is rare is found and counted by itself, whatever is newer.
create index suggestion_sure on suggestion (status, kind_order, confidence, asset_at, asset_id);
-- Whether something of the kind is said of an asset is known without looking it up.
drop index suggestion_asset;
create index suggestion_asset on suggestion (asset_id, status, kind_order, confidence);

-- A folder's assets, and an owner's, in the order of the listing, from the table of places alone.
alter table asset_path add column asset_at integer not null default 0;
update asset_path set asset_at = (select created_at from asset a where a.id = asset_id);
create trigger asset_path_added after insert on asset_path
begin
    update asset_path set asset_at = (select created_at from asset where id = new.asset_id) where uri = new.uri;
end;
create trigger asset_path_moved after update of asset_id on asset_path when new.asset_id <> old.asset_id
begin
    update asset_path set asset_at = (select created_at from asset where id = new.asset_id) where uri = new.uri;
end;
drop index asset_path_owner;
create index asset_path_owner on asset_path (owner, asset_at desc, asset_id) where owner is not null;

-- Counts are kept, not counted. A statement's own "or replace" would go for what a trigger inserts: a count is entered
-- where there is none, and then changed.
create table tally (
    what text not null,
    a    text not null default '',
    b    text not null default '',
    c    text not null default '',
    n    integer not null,
    primary key (what, a, b, c)
) without rowid;
insert into tally (what, n) select 'asset', count(*) from asset;
insert into tally (what, n) select 'path', count(*) from asset_path;
insert into tally (what, a, b, c, n) select 'work', analyzer, state, model, count(*) from work group by 2, 3, 4;
insert into tally (what, a, b, n) select 'suggestion', status, kind, count(*) from suggestion group by 2, 3;
insert into tally (what, a, n) select 'vector', space, count(*) from vector group by 2;

create trigger tally_asset_added after insert on asset
begin
    update tally set n = n + 1 where what = 'asset' and a = '' and b = '' and c = '';
end;
create trigger tally_asset_removed after delete on asset
begin
    update tally set n = n - 1 where what = 'asset' and a = '' and b = '' and c = '';
end;
create trigger tally_path_added after insert on asset_path
begin
    update tally set n = n + 1 where what = 'path' and a = '' and b = '' and c = '';
end;
create trigger tally_path_removed after delete on asset_path
begin
    update tally set n = n - 1 where what = 'path' and a = '' and b = '' and c = '';
end;

create trigger tally_work_added after insert on work
begin
    insert into tally (what, a, b, c, n) select 'work', new.analyzer, new.state, new.model, 0
        where not exists (select 1 from tally where what = 'work' and a = new.analyzer and b = new.state and c = new.model);
    update tally set n = n + 1 where what = 'work' and a = new.analyzer and b = new.state and c = new.model;
end;
create trigger tally_work_removed after delete on work
begin
    update tally set n = n - 1 where what = 'work' and a = old.analyzer and b = old.state and c = old.model;
end;
create trigger tally_work_changed after update of state, model on work
    when new.state <> old.state or new.model <> old.model
begin
    update tally set n = n - 1 where what = 'work' and a = old.analyzer and b = old.state and c = old.model;
    insert into tally (what, a, b, c, n) select 'work', new.analyzer, new.state, new.model, 0
        where not exists (select 1 from tally where what = 'work' and a = new.analyzer and b = new.state and c = new.model);
    update tally set n = n + 1 where what = 'work' and a = new.analyzer and b = new.state and c = new.model;
end;

create trigger tally_suggestion_added after insert on suggestion
begin
    insert into tally (what, a, b, n) select 'suggestion', new.status, new.kind, 0
        where not exists (select 1 from tally where what = 'suggestion' and a = new.status and b = new.kind and c = '');
    update tally set n = n + 1 where what = 'suggestion' and a = new.status and b = new.kind and c = '';
end;
create trigger tally_suggestion_removed after delete on suggestion
begin
    update tally set n = n - 1 where what = 'suggestion' and a = old.status and b = old.kind and c = '';
end;
create trigger tally_suggestion_changed after update of status on suggestion when new.status <> old.status
begin
    update tally set n = n - 1 where what = 'suggestion' and a = old.status and b = old.kind and c = '';
    insert into tally (what, a, b, n) select 'suggestion', new.status, new.kind, 0
        where not exists (select 1 from tally where what = 'suggestion' and a = new.status and b = new.kind and c = '');
    update tally set n = n + 1 where what = 'suggestion' and a = new.status and b = new.kind and c = '';
end;

-- A row that is replaced goes without a trigger of its own.
create trigger tally_vector_added before insert on vector
begin
    update tally set n = n - 1 where what = 'vector' and b = '' and c = ''
        and a = (select space from vector where id = new.id);
    insert into tally (what, a, n) select 'vector', new.space, 0
        where not exists (select 1 from tally where what = 'vector' and a = new.space and b = '' and c = '');
    update tally set n = n + 1 where what = 'vector' and a = new.space and b = '' and c = '';
end;
create trigger tally_vector_removed after delete on vector
begin
    update tally set n = n - 1 where what = 'vector' and a = old.space and b = '' and c = '';
end;

-- A decision on many suggestions, made a portion at a time by whichever process has time.
create table job (
    id           integer primary key autoincrement,
    action       text not null check (action in ('accept', 'reject', 'revert')),
    -- collecting: its items are being written down. deciding: they are being decided, and forgotten one by one.
    state        text not null check (state in ('collecting', 'deciding', 'done', 'stopped')),
    filter       text not null,
    -- What later runs say is not decided.
    newest_run   integer not null,
    reverts      integer unique references job (id),
    -- The last asset (collecting), suggestion (deciding) or entry of the review log (reverting) that was looked at.
    after_at     integer,
    after_id     text,
    after_review integer not null default 0,
    total        integer not null default 0,
    done         integer not null default 0,
    skipped      integer not null default 0,
    reviewer     text not null,
    client       text not null,
    created_at   integer not null,
    finished_at  integer
);

create index job_open on job (id) where state in ('collecting', 'deciding');

create table job_item (
    job_id        integer not null references job (id),
    suggestion_id text not null,
    primary key (job_id, suggestion_id)
) without rowid;

-- The job that a decision was made by.
alter table review add column job_id integer;
create index review_job on review (job_id, id) where job_id is not null;
