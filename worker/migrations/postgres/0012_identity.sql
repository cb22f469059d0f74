-- An asset is its picture: the hash of its image data, as pipelines/src/identity tells it. Null where no file was read since; the next
-- scan reads it once.
alter table asset add column picture text;
create index asset_picture on asset (picture, created_at) where picture is not null;
-- The hash of a file's bytes: whether somebody wrote metadata into it. Null as above.
alter table asset_path add column content_hash text;
-- How the picture was turned when it was looked at, by EXIF: regions go by that.
alter table asset add column orientation bigint;
