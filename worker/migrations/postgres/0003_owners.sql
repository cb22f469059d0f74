-- Whose an asset is at a place; null where nobody said. In the order of the listing.

alter table asset_path add column owner text collate "C";
create index asset_path_owner on asset_path (owner, (-asset_at), asset_id) where owner is not null;
