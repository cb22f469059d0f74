-- Fills an empty ledger with $assets$ assets and five suggestions for each, so that every filter has an easy case and a
-- hard one: what is common and what is rare, spread evenly and all of it long ago. Deterministic. Indexes are made
-- afterwards and counts are added up once.
--
-- folders   /archive/N holds 100,000 pictures in a row, half of them; /years/N every twentieth; /few has ten
-- owners    ada has three of ten, bob one of 50,000
-- values    "picture" on every fifth, "thing N" on one of 700, "unicorn" on one of 10,000
-- sure      at least 0.99: one suggestion of 5000; at least 0.97: one of 50, all among the oldest quarter
-- kinds     an emotion on one of 1000; superseded: one suggestion of 5000, all among the oldest quarter

set session_replication_role = replica;
set synchronous_commit = off;
set maintenance_work_mem = '512MB';

create temporary table index_definition as
    select i.indexname as name, i.indexdef as definition
    from pg_indexes i
    where i.schemaname = 'public' and i.tablename in ('asset', 'asset_path', 'work', 'suggestion', 'run')
      and not exists (select 1 from pg_constraint c where c.conname = i.indexname);
do $$ declare i record; begin
    for i in select name from index_definition loop execute format('drop index %I', i.name); end loop;
end $$;

create temporary table n as
    select i, md5('asset ' || i) as id, 1700000000000 + (i / 40) * 1000 as created_at from generate_series(1, $assets$) i;

insert into asset (id, content_hash, bytes, width, height, format, lane, created_at)
    select id, id || id, 2000000 + i % 7000000, 4000, 3000, 'jpeg', 1, created_at from n;
insert into asset_path (uri, asset_id, bytes, modified_ns, seen_at, asset_at, owner)
    select case when i % 100003 = 7 then 'file:///few/' || i || '.jpg'
                when i % 2 = 0 then 'file:///archive/' || i / 100000 || '/' || i / 1000 % 100 || '/picture-' || i || '.jpg'
                else 'file:///years/' || i % 20 || '/' || i / 1000 || '/picture-' || i || '.jpg' end,
           id, 2000000, (i::bigint * 7919 % 1000003) * 1000000, created_at, created_at,
           case when i % 50000 = 1 then 'bob' when i % 10 < 3 then 'ada' end
    from n;
insert into work (asset_id, analyzer, state, model, attempts, updated_at, failure_kind, reason)
    select id, a, case when i % 50 = 1 and a = 'text' then 'failed' else 'done' end, a || '-model@2', 1, created_at,
           case when i % 50 = 1 and a = 'text' then 'permanent' end,
           case when i % 50 = 1 and a = 'text' then 'read text: the page is too large' end
    from n, unnest(array ['tags', 'text']) a;
insert into run (asset_id, owner, finished_at, models) select id, 'bench', created_at, '{}' from n;
insert into suggestion (id, asset_id, analyzer, kind, value, confidence, status, model, run_id, created_at, asset_at,
                        kind_order)
    select md5('suggestion ' || i || ' ' || j), id, 'tags', kind,
           case when j = 0 and i % 5 = 0 then 'picture' when j = 0 and i % 10000 = 1 then 'unicorn'
                when kind = 'caption' then 'a picture of thing ' || i else 'thing ' || (i * 7 + j) % 2000 end,
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
          from n, generate_series(0, 4) j) s
    order by i, j;

do $$ declare i record; begin
    for i in select definition from index_definition loop execute i.definition; end loop;
end $$;
delete from tally;
insert into tally (what, delta) select 'asset', count(*) from asset;
insert into tally (what, delta) select 'path', count(*) from asset_path;
insert into tally (what, a, b, c, delta) select 'work', analyzer, state, model, count(*) from work group by 2, 3, 4;
insert into tally (what, a, b, delta) select 'suggestion', status, kind, count(*) from suggestion group by 2, 3;
vacuum analyze asset, asset_path, work, suggestion, run, tally;
