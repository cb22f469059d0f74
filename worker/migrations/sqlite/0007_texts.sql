-- The words in pictures, to be searched. See the migration of the same name for PostgreSQL.

create table reading (
    -- Grows with every text.
    id            integer primary key,
    suggestion_id text not null unique references suggestion (id) on delete cascade,
    asset_id      text not null references asset (id) on delete cascade,
    living        integer not null,
    folded        text not null
);
create index reading_asset on reading (asset_id) where living;

-- Of living texts alone. It knows where in a text three characters in a row are, so what it finds is exact: a word, the
-- beginning of one, a part of one, several words in a row, in scripts with and without spaces.
create virtual table reading_index using fts5 (
    folded, content = 'reading', content_rowid = 'id', tokenize = 'trigram case_sensitive 1', columnsize = 0
);
create trigger reading_added after insert on reading when new.living
begin
    insert into reading_index (rowid, folded) values (new.id, new.folded);
end;
create trigger reading_removed after delete on reading when old.living
begin
    insert into reading_index (reading_index, rowid, folded) values ('delete', old.id, old.folded);
end;
create trigger reading_died after update of living on reading when old.living and not new.living
begin
    insert into reading_index (reading_index, rowid, folded) values ('delete', old.id, old.folded);
end;
create trigger reading_revived after update of living on reading when new.living and not old.living
begin
    insert into reading_index (rowid, folded) values (new.id, new.folded);
end;

-- Runs and decisions are followed.
create trigger reading_follows after update of status on suggestion
    when new.kind = 'text' and new.status <> old.status
begin
    update reading set living = not living
        where suggestion_id = new.id and living <> (new.status in ('pending', 'accepted'));
end;

insert into repair (name) values ('texts');
