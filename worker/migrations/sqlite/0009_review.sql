-- What people need to go through an archive. 0008 is left to others.

-- Places by the time of their files.
create index asset_path_date on asset_path (modified_ns, uri);

-- Broader tags that a tag implies, nearest first: a JSON array; null where there are none.
alter table suggestion add column implies text;

-- The entry that this one follows from: who accepts a tag accepts what it implies.
alter table review add column because integer;
create index review_because on review (because) where because is not null;
-- What somebody decided last, one by one and many together.
create index review_reviewer on review (reviewer, client, id) where job_id is null and because is null;
create index job_reviewer on job (reviewer, client, id);
