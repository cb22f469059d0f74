-- What people need to go through an archive. 0009 is left to others. See the migration of the same name for SQLite.

create index asset_path_date on asset_path (modified_ns, uri);

alter table suggestion add column implies jsonb;

alter table review add column because bigint;
create index review_because on review (because) where because is not null;
-- A name can be longer than an index entry may be.
create index review_reviewer on review (left(reviewer, 128), client, id) where job_id is null and because is null;
create index job_reviewer on job (left(reviewer, 128), client, id);
