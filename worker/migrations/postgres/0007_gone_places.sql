-- When somebody found nothing at a place any more; null where something is, as far as is known.

alter table asset_path add column gone_at bigint;
