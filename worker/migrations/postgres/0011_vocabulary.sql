-- The archive's own terms, who changed them, and how far they were applied.

create table vocabulary (
    only_row int primary key check (only_row = 1),
    -- Grows with every change of a term.
    revision bigint not null,
    -- The language whose names become tags.
    language text collate "C" not null,
    -- Whether the first terms were entered, or left out on purpose.
    begun    int not null
);
insert into vocabulary (only_row, revision, language, begun) values (1, 0, 'en', 0);

create table term (
    id          text collate "C" primary key,
    -- Merged and removed terms stay, so that what was decided is found again.
    state       text collate "C" not null check (state in ('present', 'merged', 'removed')),
    uri         text collate "C",
    -- The term as JSON.
    data        text not null,
    merged_into text collate "C",
    revision    bigint not null
);
-- An address may be longer than an index takes.
create unique index term_uri on term (md5(uri)) where state = 'present' and uri is not null;
-- What changed since a revision.
create index term_revision on term (revision);

create table term_log (
    id       bigint generated always as identity primary key,
    revision bigint not null,
    at       bigint not null,
    reviewer text not null,
    client   text not null,
    action   text collate "C" not null check (action in ('add', 'change', 'merge', 'remove')),
    term_id  text collate "C" not null,
    -- The term as JSON before and after.
    before   text,
    after    text
);
create index term_log_term on term_log (term_id, id);
create function term_log_only_grows() returns trigger language plpgsql as $$
begin
    raise exception 'the log of the vocabulary only grows';
end $$;
create trigger term_log_is_not_changed before update or delete or truncate on term_log
    for each statement execute function term_log_only_grows();

-- What follows from a change and touches many rows, done in portions and in order.
create table term_task (
    id      bigint generated always as identity primary key,
    -- adopt: words become the term. rename: its rows take its name, or go to another term. withdraw: nothing of it is pending
    -- any more. sort: words that mean no term become proposals.
    action  text collate "C" not null check (action in ('adopt', 'rename', 'withdraw', 'sort')),
    term_id text collate "C" not null,
    -- JSON: what it needs.
    detail  text not null
);

-- A term's rule in a space, and the last vector it was applied to.
create table term_match (
    space    text collate "C" not null,
    term_id  text collate "C" not null,
    -- Changes with everything that the rule depends on.
    print    text collate "C" not null,
    -- Where it came from: prompts, head or decisions.
    source   text collate "C" not null,
    -- The probability of the term is the logistic function of weights · vector + bias; it is offered from `least` on.
    weights  bytea not null,
    bias     double precision not null,
    least    double precision not null,
    applied  bigint not null,
    -- Whether it was ever offered for a picture.
    said     int not null default 0,
    primary key (space, term_id)
);

-- A rule learned from decisions.
create table term_head (
    space    text collate "C" not null,
    term_id  text collate "C" not null,
    version  bigint not null,
    -- Whether it is used. One that was thrown away stays, so that the same decisions do not bring it back.
    used     int not null,
    -- JSON: what it was learned from, and its figures.
    figures  text not null,
    weights  bytea not null,
    bias     double precision not null,
    least    double precision not null,
    at       bigint not null,
    primary key (space, term_id)
);

alter table suggestion add column term_id text collate "C";
-- The rows of a term, and those that were decided.
create index suggestion_term on suggestion (term_id, id) where term_id is not null;
create index suggestion_decided on suggestion (term_id, status, asset_id)
    where term_id is not null and status in ('accepted', 'rejected');
-- Words that are in no vocabulary: as tags from before there was one, and as proposals.
create index suggestion_loose on suggestion (status, left(value, 128), id) where kind = 'tag' and term_id is null;
create index suggestion_proposal on suggestion (status, left(value, 128), id) where kind = 'proposal' and term_id is null;
