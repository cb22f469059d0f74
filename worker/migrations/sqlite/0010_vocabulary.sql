-- The archive's own terms, who changed them, and how far they were applied.

create table vocabulary (
    only_row integer primary key check (only_row = 1),
    -- Grows with every change of a term.
    revision integer not null,
    -- The language whose names become tags.
    language text not null,
    -- Whether the first terms were entered, or left out on purpose.
    begun    integer not null
);
insert into vocabulary (only_row, revision, language, begun) values (1, 0, 'en', 0);

create table term (
    id          text primary key not null,
    -- Merged and removed terms stay, so that what was decided is found again.
    state       text not null check (state in ('present', 'merged', 'removed')),
    uri         text,
    -- The term as JSON.
    data        text not null,
    merged_into text,
    revision    integer not null
) without rowid;
create unique index term_uri on term (uri) where state = 'present';
-- What changed since a revision.
create index term_revision on term (revision);

create table term_log (
    id       integer primary key autoincrement,
    revision integer not null,
    at       integer not null,
    reviewer text not null,
    client   text not null,
    action   text not null check (action in ('add', 'change', 'merge', 'remove')),
    term_id  text not null,
    -- The term as JSON before and after.
    before   text,
    after    text
);
create index term_log_term on term_log (term_id, id);
create trigger term_log_is_not_changed before update on term_log
begin
    select raise(abort, 'the log of the vocabulary only grows');
end;
create trigger term_log_is_not_deleted before delete on term_log
begin
    select raise(abort, 'the log of the vocabulary only grows');
end;

-- What follows from a change and touches many rows, done in portions and in order.
create table term_task (
    id      integer primary key autoincrement,
    -- adopt: words become the term. rename: its rows take its name, or go to another term. withdraw: nothing of it is pending
    -- any more. sort: words that mean no term become proposals.
    action  text not null check (action in ('adopt', 'rename', 'withdraw', 'sort')),
    term_id text not null,
    -- JSON: what it needs.
    detail  text not null
);

-- A term's rule in a space, and the last vector it was applied to.
create table term_match (
    space    text not null,
    term_id  text not null,
    -- Changes with everything that the rule depends on.
    print    text not null,
    -- Where it came from: prompts, head or decisions.
    source   text not null,
    -- The probability of the term is the logistic function of weights · vector + bias; it is offered from `least` on.
    weights  blob not null,
    bias     real not null,
    least    real not null,
    applied  integer not null,
    -- Whether it was ever offered for a picture.
    said     integer not null default 0,
    primary key (space, term_id)
) without rowid;

-- A rule learned from decisions.
create table term_head (
    space    text not null,
    term_id  text not null,
    version  integer not null,
    -- Whether it is used. One that was thrown away stays, so that the same decisions do not bring it back.
    used     integer not null,
    -- JSON: what it was learned from, and its figures.
    figures  text not null,
    weights  blob not null,
    bias     real not null,
    least    real not null,
    at       integer not null,
    primary key (space, term_id)
) without rowid;

alter table suggestion add column term_id text;
-- The rows of a term, and those that were decided.
create index suggestion_term on suggestion (term_id, id) where term_id is not null;
create index suggestion_decided on suggestion (term_id, status, asset_id)
    where term_id is not null and status in ('accepted', 'rejected');
-- Words that are in no vocabulary: as tags from before there was one, and as proposals.
create index suggestion_loose on suggestion (status, value, id) where kind = 'tag' and term_id is null;
create index suggestion_proposal on suggestion (status, value, id) where kind = 'proposal' and term_id is null;

-- Words become terms, and terms words: what is kept of kinds has to follow.
drop trigger tally_suggestion_changed;
create trigger tally_suggestion_changed after update of status, kind on suggestion
    when new.status <> old.status or new.kind <> old.kind
begin
    update tally set n = n - 1 where what = 'suggestion' and a = old.status and b = old.kind and c = '';
    insert into tally (what, a, b, n) select 'suggestion', new.status, new.kind, 0
        where not exists (select 1 from tally where what = 'suggestion' and a = new.status and b = new.kind and c = '');
    update tally set n = n + 1 where what = 'suggestion' and a = new.status and b = new.kind and c = '';
end;
