// What the panel shows of a picture: suggestions that say the same are one row, and what a tag implies is not asked by itself.

import { KINDS } from "./dom.js";

/** Whether a suggestion passes the page's filter. */
export const passes = (row, { kind, status, min }) =>
  (!kind || row.kind === kind) && (status ? row.status === status : row.status !== "superseded") && row.confidence >= min;

/** Whether a suggestion is asked about: proposed terms are looked at, but asked about only where the filter names them. */
export const isAsked = (row, { kind }) => row.kind !== "proposal" || kind === "proposal";

/**
 * The rows for `suggestions`, in the order they are shown. A row has a `kind`, a `value`, a `status`, its `members`, surest
 * first, and the pending tags it `covers`: they are accepted with it, and asked once it is rejected.
 */
export function rowsOf(suggestions) {
  const order = ({ kind }) => KINDS.indexOf(kind);
  const sorted = [...suggestions].sort((a, b) => order(a) - order(b) || b.confidence - a.confidence);
  const covered = new Set();
  const covers = new Map();
  const tags = sorted.filter(({ kind, status }) => kind === "tag" && status === "pending");
  for (const narrow of tags) {
    const broad = (narrow.implies ?? []).flatMap((value) => tags.filter((tag) => tag !== narrow && tag.value === value));
    covers.set(narrow.id, broad);
    for (const tag of broad) covered.add(tag.id);
  }
  const rows = new Map();
  for (const member of sorted) {
    if (covered.has(member.id)) continue;
    const { kind, value, status } = member;
    const key = JSON.stringify([kind, value, status]);
    if (!rows.has(key)) rows.set(key, { kind, value, status, members: [], covers: [] });
    const row = rows.get(key);
    row.members.push(member);
    row.covers.push(...(covers.get(member.id) ?? []));
  }
  return [...rows.values()];
}

/** How many suggestions have which status, as the server last said. */
export function tally(suggestions) {
  const counts = { pending: 0, accepted: 0, rejected: 0, superseded: 0 };
  for (const { kind, before, status } of suggestions) {
    // Proposed terms are nothing that is to be reviewed.
    if (kind !== "proposal" || (before ?? status) !== "pending") counts[before ?? status] += 1;
  }
  return counts;
}
