-- The words in pictures, to be searched.
--
-- `folded` is a text as `store/fold.rs` writes it: words in lower case without accents, each between two `_`; of a script
-- without spaces every character is a word. Its words find words and their beginnings, its trigrams parts of words and what
-- stands in a row. Neither needs an extension.

create table reading (
    -- Grows with every text.
    id            bigint generated always as identity primary key,
    suggestion_id text collate "C" not null unique references suggestion (id) on delete cascade,
    asset_id      text collate "C" not null references asset (id) on delete cascade,
    -- Whether the suggestion is pending or accepted.
    living        boolean not null,
    folded        text collate "C" not null
);
create index reading_asset on reading (asset_id) where living;

create function reading_words(folded text) returns tsvector language sql immutable strict parallel safe as $$
    select array_to_tsvector(string_to_array(trim('_' from folded), '_'))
$$;
-- Taken from three beginnings: to count characters for each of them would read a page as often as it has characters.
create function reading_trigrams(folded text) returns text[] language sql immutable strict parallel safe as $$
    select array_agg(distinct m[1]) from (
        select regexp_matches(folded, '...', 'g')
        union all select regexp_matches(substr(folded, 2), '...', 'g')
        union all select regexp_matches(substr(folded, 3), '...', 'g')) s (m)
$$;
create index reading_index on reading using gin (reading_words(folded), reading_trigrams(folded)) where living;

-- Runs and decisions are followed.
create function reading_follows() returns trigger language plpgsql as $$
begin
    update reading set living = not living
        where suggestion_id = new.id and living <> (new.status in ('pending', 'accepted'));
    return null;
end $$;
create trigger reading_follows after update of status on suggestion for each row
    when (new.kind = 'text' and new.status is distinct from old.status) execute function reading_follows();

insert into repair (name) values ('texts');
