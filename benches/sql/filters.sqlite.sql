-- The same archive as filters.postgres.sql, in a file.

drop index suggestion_status_listing;
drop index suggestion_asset;
drop index suggestion_value;
drop index suggestion_sure;
create temporary table n as
    with recursive n (i) as (select 1 union all select i + 1 from n where i < $assets$)
    select i, printf('%08x%024x', (i * 2654435761) % 4294967296, i) as id, 1700000000000 + (i / 40) * 1000 as created_at from n;
insert into asset (id, content_hash, bytes, width, height, format, lane, created_at)
    select id, id || id, 2000000 + i % 7000000, 4000, 3000, 'jpeg', 1, created_at from n order by id;
insert into asset_path (uri, asset_id, bytes, modified_ns, seen_at, owner)
    select case when i % 100003 = 7 then 'file:///few/' || i || '.jpg'
                when i % 2 = 0 then 'file:///archive/' || (i / 100000) || '/' || (i / 1000 % 100) || '/picture-' || i || '.jpg'
                else 'file:///years/' || (i % 20) || '/' || (i / 1000) || '/picture-' || i || '.jpg' end as uri,
           id, 2000000, (i * 7919 % 1000003) * 1000000, created_at, case when i % 50000 = 1 then 'bob' when i % 10 < 3 then 'ada' end
    from n order by uri;
insert into work (asset_id, analyzer, state, model, attempts, updated_at, failure_kind, reason)
    select id, a, case when i % 50 = 1 and a = 'text' then 'failed' else 'done' end, a || '-model@2', 1, created_at,
           case when i % 50 = 1 and a = 'text' then 'permanent' end,
           case when i % 50 = 1 and a = 'text' then 'read text: the page is too large' end
    from n, (select 'tags' as a union all select 'text') order by id;
insert into run (asset_id, owner, finished_at, models) select id, 'bench', created_at, '{}' from n order by i;
insert into suggestion (id, asset_id, analyzer, kind, value, confidence, status, model, run_id, created_at, asset_at,
                        kind_order)
    select printf('%08x%024x', ((i * 5 + j) * 2246822519) % 4294967296, i * 5 + j) as suggestion, id, 'tags', kind,
           case when j = 0 and i % 5 = 0 then 'picture' when j = 0 and i % 10000 = 1 then 'unicorn'
                when kind = 'caption' then 'a picture of thing ' || i else 'thing ' || ((i * 7 + j) % 2000) end,
           case when (i * 5 + j) % 5000 = 17 then 0.991
                when i < $assets$ / 4 and (i * 5 + j) % 12 = 5 then 0.975
                else 0.3 + ((i * 31 + j * 17) % 6500) / 10000.0 end,
           case when i < $assets$ / 4 and (i + j) % 1250 = 3 then 'superseded'
                when (i + j) % 10 = 0 then 'accepted' when (i + j) % 10 = 1 then 'rejected' else 'pending' end,
           'tags-model@2', i, created_at, created_at,
           case kind when 'tag' then 0 when 'caption' then 1 when 'object' then 2 when 'face' then 3 when 'emotion' then 4
               else 5 end
    from (select n.*, j, case when j < 3 then 'tag' when j = 3 then 'object' when i % 1000 = 0 then 'emotion'
                              when i % 3 = 0 then 'caption' when i % 3 = 1 then 'face' else 'text' end as kind
          from n, (select 0 as j union all select 1 union all select 2 union all select 3 union all select 4)) s
    order by suggestion;
create index suggestion_status_listing
    on suggestion (status, asset_at desc, asset_id, kind_order, confidence desc, id);
create index suggestion_asset on suggestion (asset_id, status, kind_order, confidence);
create index suggestion_value on suggestion (value, status, asset_at desc, asset_id);
create index suggestion_sure on suggestion (status, kind_order, confidence, asset_at, asset_id);
drop table n;
