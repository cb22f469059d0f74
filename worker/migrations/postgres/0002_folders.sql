-- A folder's assets in the order of the listing, from the index of places alone.

alter table asset_path add column asset_at bigint;
update asset_path p set asset_at = a.created_at from asset a where a.id = p.asset_id;
alter table asset_path alter column asset_at set not null;
alter table asset_path drop constraint asset_path_pkey;
create unique index asset_path_pkey on asset_path (uri) include (asset_id, asset_at);
alter table asset_path add constraint asset_path_pkey primary key using index asset_path_pkey;
