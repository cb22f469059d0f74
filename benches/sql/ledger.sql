-- Fills an empty ledger with $assets$ assets and ten suggestions for each, as years of backfill leave it: nine of ten
-- assets done, one of twenty pending, one of fifty failed, a tenth of the tags by an older model; a fifth of the
-- suggestions decided. Deterministic. Indexes are made afterwards and counts are added up once, which is how a restored
-- dump would do it, too.

set session_replication_role = replica;
set synchronous_commit = off;
set maintenance_work_mem = '1GB';

create temporary table index_definition as
    select i.indexname as name, i.indexdef as definition
    from pg_indexes i
    where i.schemaname = 'public' and i.tablename in ('asset', 'asset_path', 'work', 'suggestion', 'vector')
      and not exists (select 1 from pg_constraint c where c.conname = i.indexname);
do $$ declare i record; begin
    for i in select name from index_definition loop execute format('drop index %I', i.name); end loop;
end $$;

create temporary table n as
    select i, md5('asset ' || i) as id, 1700000000000 + (i / 40) * 1000 as created_at from generate_series(1, $assets$) i;

insert into asset (id, content_hash, bytes, width, height, format, lane, created_at, pending, due)
    select id, id || id, 2000000 + i % 7000000, 4000, 3000, 'jpeg', 1, created_at,
           case when i % 20 = 0 then 'caption,decode,embedding,faces,objects,tags,text' end, case when i % 20 = 0 then 'caption,decode,embedding,faces,objects,tags,text' end
    from n;
insert into asset_path (uri, asset_id, bytes, modified_ns, seen_at, asset_at)
    select 'file:///archive/' || i / 10000 || '/' || i / 100 % 100 || '/picture-' || i || '.jpg', id, 2000000, 0,
           created_at, created_at
    from n;
insert into work (asset_id, analyzer, state, model, attempts, updated_at, failure_kind, reason)
    select id, a, case when i % 20 = 0 then 'pending' when i % 50 = 1 and a = 'text' then 'failed' else 'done' end,
           a || '-model@' || case when i % 10 = 3 and a = 'tags' then '1' else '2' end, 1, created_at,
           case when i % 50 = 1 and a = 'text' then 'permanent' end,
           case when i % 50 = 1 and a = 'text' then 'read text: the page is too large' end
    from n, unnest(array ['decode', 'tags', 'objects', 'faces', 'text', 'caption', 'embedding']) a;
insert into suggestion (id, asset_id, analyzer, kind, value, confidence, region_x, region_y, region_width, region_height,
                        status, model, run_id, created_at, asset_at, kind_order)
    select md5('suggestion ' || i || ' ' || j), id,
           case when j < 5 then 'tags' when j = 5 then 'caption' when j < 9 then 'objects' else 'text' end,
           case when j < 5 then 'tag' when j = 5 then 'caption' when j < 9 then 'object' else 'text' end,
           case when j = 5 then 'a picture of thing ' || i when j = 9 then 'line ' || i else 'thing ' || (i * 7 + j) % 2000 end,
           0.3 + ((i * 31 + j * 17) % 7000) / 10000.0,
           case when j between 6 and 8 then 0.1 end, case when j between 6 and 8 then 0.1 end,
           case when j between 6 and 8 then 0.3 end, case when j between 6 and 8 then 0.3 end,
           case (i + j) % 10 when 0 then 'accepted' when 1 then 'rejected' else 'pending' end,
           'model@2', 1, created_at, created_at,
           case when j < 5 then 0 when j = 5 then 1 when j < 9 then 2 else 5 end
    from n, generate_series(0, 9) j;

do $$ declare i record; begin
    for i in select definition from index_definition loop execute i.definition; end loop;
end $$;
delete from tally;
insert into tally (what, delta) select 'asset', count(*) from asset;
insert into tally (what, delta) select 'path', count(*) from asset_path;
insert into tally (what, a, delta) select 'pending', pending, count(*) from asset where pending is not null group by 2;
insert into tally (what, a, b, c, delta) select 'work', analyzer, state, model, count(*) from work group by 2, 3, 4;
insert into tally (what, a, b, delta) select 'suggestion', status, kind, count(*) from suggestion group by 2, 3;
vacuum analyze asset, asset_path, work, suggestion, tally;
