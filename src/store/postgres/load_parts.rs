//! The parts of the statement that loads rows.

// The rows by key and by search, in one round trip. The first column names the part. `search` is the number of a search in its arrays; Rust sorts and cuts
// the rows of a search. A statement has only the parts that a transaction needs: the server prepares to read each part.
pub(super) const MESSAGES: &str =
    "SELECT 'message', 0::bigint, NULL::text, rev, body::text FROM message WHERE sid = ANY($1)";
pub(super) const EVIDENCE: &str = "
    SELECT 'parked', 0::bigint, NULL::text, NULL::bigint, body::text FROM parked WHERE waits_for = ANY($2)
    UNION ALL
    SELECT 'holder', 0::bigint, NULL::text, rev, body::text FROM message WHERE held_by = ANY($2)";
pub(super) const COUNTED: &str =
    "SELECT 'counted', 0::bigint, key, at, NULL::text FROM counted WHERE key = ANY($3)";
pub(super) const LINKS: &str =
    "SELECT 'link', 0::bigint, id, NULL::bigint, body::text FROM link WHERE id = ANY($4)";
pub(super) const AUTOMATIC: &str = "
    SELECT 'automatic', 0::bigint, encode(person, 'hex'), NULL::bigint, body::text
    FROM automatic WHERE person = ANY($5)";
pub(super) const NAMES: &str = "
    SELECT 'names', k.search, NULL::text, NULL::bigint, row.body::text
    FROM unnest($6::text[], $7::bytea[]) WITH ORDINALITY AS k(account, person, search)
    CROSS JOIN LATERAL (SELECT body FROM tied_name
                        WHERE account = k.account AND person = k.person LIMIT 1) row";
pub(super) const SENDERS: &str = "
    SELECT 'sender', k.search, row.service, NULL::bigint, NULL::text
    FROM unnest($8::text[], $9::text[]) WITH ORDINALITY AS k(account, address, search)
    CROSS JOIN LATERAL (SELECT service FROM sender
                        WHERE account = k.account AND address = k.address LIMIT 1) row";
pub(super) const PERSONS: &str = "
    SELECT 'person', k.search, NULL::text, row.rev, row.body::text
    FROM unnest($10::bytea[], $11::bigint[], $12::bigint[], $13::bigint[])
         WITH ORDINALITY AS k(person, first, last, most, search)
    CROSS JOIN LATERAL (SELECT rev, body FROM message
                        WHERE person = k.person AND created_at BETWEEN k.first AND k.last
                        ORDER BY created_at DESC, sid DESC LIMIT k.most) row
    UNION ALL
    SELECT 'person', k.search, NULL::text, row.rev, row.body::text
    FROM unnest($10::bytea[], $11::bigint[], $12::bigint[], $13::bigint[])
         WITH ORDINALITY AS k(person, first, last, most, search)
    CROSS JOIN LATERAL (SELECT rev, body FROM message
                        WHERE alias = k.person AND person IS DISTINCT FROM k.person
                          AND created_at BETWEEN k.first AND k.last
                        ORDER BY created_at DESC, sid DESC LIMIT k.most) row";
pub(super) const UNTIED: &str = "
    SELECT 'untied', k.search, NULL::text, row.rev, row.body::text
    FROM unnest($14::text[], $15::smallint[], $16::bigint[], $17::bigint[], $18::bigint[])
         WITH ORDINALITY AS k(account, kind, first, last, most, search)
    CROSS JOIN LATERAL (SELECT rev, body FROM message
                        WHERE account = k.account AND untied = k.kind
                          AND created_at BETWEEN k.first AND k.last
                        ORDER BY created_at DESC, sid DESC LIMIT k.most) row";
pub(super) const REFERENCES: &str = "
    SELECT 'reference', k.search, NULL::text, row.rev, row.body::text
    FROM unnest($19::text[], $20::text[], $21::bigint[])
         WITH ORDINALITY AS k(account, reference, most, search)
    CROSS JOIN LATERAL (SELECT rev, body FROM message
                        WHERE account = k.account AND reference = k.reference
                        ORDER BY created_at DESC, sid DESC LIMIT k.most) row";
pub(super) const UNBOUND: &str = "
    SELECT 'unbound_link', k.search, row.id, NULL::bigint, NULL::text
    FROM unnest($22::text[], $23::text[], $24::bigint[])
         WITH ORDINALITY AS k(account, reference, most, search)
    CROSS JOIN LATERAL (SELECT id FROM link
                        WHERE account = k.account AND reference = k.reference AND unbound
                        ORDER BY id DESC LIMIT k.most) row";

// Due messages, without those that another receiver claims at the moment.
pub(super) const DUE_AFTER: &str = "
    SELECT 'due_after', k.search, row.due_at::text, row.rev, row.body::text
    FROM unnest($25::text[], $26::smallint[], $27::bigint[], $28::bigint[])
         WITH ORDINALITY AS k(account, kind, at, most, search)
    CROSS JOIN LATERAL (SELECT due_at, rev, body FROM message
                        WHERE account = k.account AND due_kind = k.kind AND due_at > k.at AND sid <> ALL($33)
                        ORDER BY due_at, sid LIMIT k.most) row";
pub(super) const LAST_DUE_BY: &str = "
    SELECT 'last_due_by', k.search, row.due_at::text, row.rev, row.body::text
    FROM unnest($29::text[], $30::smallint[], $31::bigint[], $32::bigint[])
         WITH ORDINALITY AS k(account, kind, at, most, search)
    CROSS JOIN LATERAL (SELECT due_at, rev, body FROM message
                        WHERE account = k.account AND due_kind = k.kind AND due_at <= k.at AND sid <> ALL($33)
                        ORDER BY due_at DESC, sid DESC LIMIT k.most) row";
pub(super) const HOLDS: &str = "SELECT 'hold', 0::bigint, account, since, NULL::text FROM hold";
// A loose index scan: one probe for each account.
pub(super) const ACCOUNTS_WITH_DUE: &str = "
    SELECT 'account_with_due', 0::bigint, account, NULL::bigint, NULL::text
    FROM (WITH RECURSIVE accounts AS (
              (SELECT account FROM message WHERE due_at IS NOT NULL ORDER BY account LIMIT 1)
              UNION ALL
              SELECT (SELECT account FROM message WHERE due_at IS NOT NULL AND account > accounts.account
                      ORDER BY account LIMIT 1)
              FROM accounts WHERE accounts.account IS NOT NULL)
          SELECT account FROM accounts WHERE account IS NOT NULL) found";
