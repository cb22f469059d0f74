-- Whose an asset is at a place; null where nobody said.

alter table asset_path add column owner text;
create index asset_path_owner on asset_path (owner, asset_id) where owner is not null;
