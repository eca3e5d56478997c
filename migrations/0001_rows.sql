-- The rows of a store. Columns hold what is searched for; `body` holds the whole row as JSON.
-- All times are milliseconds since 1970. Recipients are keyed hashes: no table holds a phone number.

CREATE TABLE meta (
    only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    person_check bytea NOT NULL
);

CREATE TABLE message (
    sid          text COLLATE "C" PRIMARY KEY,
    account      text COLLATE "C" NOT NULL,
    state        smallint NOT NULL,
    person       bytea,
    alias        bytea,
    untied       smallint,
    reference    text COLLATE "C",
    created_at   bigint NOT NULL,
    stands_since bigint NOT NULL,
    due_at       bigint,
    due_kind     smallint NOT NULL,
    held_by      text COLLATE "C",
    evict_rank   smallint,
    evict_from   bigint,
    evict_own    bigint,
    blocked_by   text COLLATE "C",
    rev          bigint NOT NULL,
    body         jsonb NOT NULL,
    leased       boolean NOT NULL GENERATED ALWAYS AS (body -> 'delivery' ->> 'lease' IS NOT NULL) STORED
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

CREATE INDEX message_person    ON message (person, created_at DESC, sid DESC) WHERE person IS NOT NULL;
CREATE INDEX message_alias     ON message (alias, created_at DESC, sid DESC) WHERE alias IS NOT NULL;
CREATE INDEX message_untied    ON message (account, untied, created_at DESC, sid DESC) WHERE untied IS NOT NULL;
CREATE INDEX message_reference ON message (account, reference, created_at DESC, sid DESC) WHERE reference IS NOT NULL;
CREATE INDEX message_due       ON message (account, due_kind, due_at, sid) WHERE due_at IS NOT NULL;
-- Attempts under way: a claim counts them for each account.
CREATE INDEX message_leased    ON message (account, due_at) WHERE leased AND due_at IS NOT NULL;
CREATE INDEX message_held      ON message (held_by) WHERE held_by IS NOT NULL;
CREATE INDEX message_evict     ON message (evict_rank, evict_from, sid) WHERE evict_rank IS NOT NULL;
CREATE INDEX message_blocked   ON message (blocked_by) WHERE blocked_by IS NOT NULL;
-- Pending, confirmed, undelivered and refused: the states with an age.
CREATE INDEX message_age       ON message (state, stands_since) WHERE state IN (1, 3, 4, 6);

CREATE TABLE parked (
    waits_for text COLLATE "C" NOT NULL,
    parked_at bigint NOT NULL,
    digest    bytea NOT NULL,
    account   text COLLATE "C" NOT NULL,
    orphaned  boolean NOT NULL,
    waiting   boolean NOT NULL,
    body      jsonb NOT NULL,
    PRIMARY KEY (waits_for, parked_at, digest)
);
CREATE INDEX parked_age ON parked (orphaned, waiting, parked_at);

CREATE TABLE link (
    id        text COLLATE "C" PRIMARY KEY,
    account   text COLLATE "C" NOT NULL,
    reference text COLLATE "C",
    unbound   boolean NOT NULL,
    body      jsonb NOT NULL
);
CREATE INDEX link_unbound ON link (account, reference, id DESC) WHERE unbound AND reference IS NOT NULL;

CREATE TABLE counted   (key text COLLATE "C" PRIMARY KEY, at bigint NOT NULL);
CREATE TABLE sender    (account text COLLATE "C", address text COLLATE "C", service text NOT NULL, PRIMARY KEY (account, address));
CREATE TABLE tied_name (account text COLLATE "C", person bytea, body jsonb NOT NULL, PRIMARY KEY (account, person));
CREATE TABLE automatic (person bytea PRIMARY KEY, body jsonb NOT NULL);
CREATE TABLE hold      (account text COLLATE "C" PRIMARY KEY, since bigint NOT NULL);

-- Accounts that Twilio has closed: `held` after a 429, `paused` while it rejects the account. All receivers obey them.
-- `opens_at`: the end of a hold, or the time of the next probe.
CREATE TABLE account_block (
    account  text COLLATE "C",
    kind     text COLLATE "C",
    since    bigint NOT NULL,
    opens_at bigint NOT NULL,
    status   integer,
    code     bigint,
    why      text NOT NULL,
    PRIMARY KEY (account, kind)
);

-- Counters. Each writer changes the rows of its own slot, so that no row is changed by all. The value is the sum.
CREATE TABLE tally (
    key  text COLLATE "C",
    slot smallint,
    n    bigint NOT NULL,
    PRIMARY KEY (key, slot)
) WITH (fillfactor = 50);
