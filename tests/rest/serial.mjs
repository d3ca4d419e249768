// Could the transactions of a recorded history have run one after another? The direct serialization graph of Adya,
// "Weak Consistency: A Generalized Theory and Optimistic Implementations for Distributed Transactions" (1999): an edge
// from whoever wrote a version of a key to whoever wrote the next one (ww) or read it (wr), and from whoever read it to
// whoever wrote the next one (rw). A cycle is an order that cannot be.
//
// A transaction: { number, version, reads: [[key, number of the writer that was seen, or 0: absent]], writes: [key] }; `version`
// is what its commit answered. Every value names its writer, keys are put and never deleted, and only transactions that
// committed are in the history. Reading a range is reading each key that there can be in it.

/** null, or what is wrong, in words. */
export function contradictionOf(history) {
  const writersOf = new Map(); // of a key, in the order of its versions
  const byNumber = new Map(history.map((one) => [one.number, one]));
  for (const one of history) {
    for (const key of new Set(one.writes)) {
      if (!writersOf.has(key)) writersOf.set(key, []);
      writersOf.get(key).push(one);
    }
  }
  for (const writers of writersOf.values()) writers.sort((a, b) => (a.version < b.version ? -1 : 1));

  const followers = new Map(history.map((one) => [one, new Set()]));
  const edge = (from, to) => from !== to && followers.get(from).add(to);
  for (const writers of writersOf.values()) writers.slice(1).forEach((writer, i) => edge(writers[i], writer));
  for (const one of history) {
    for (const [key, seen] of one.reads) {
      const writers = writersOf.get(key) ?? [];
      const writer = byNumber.get(seen);
      const at = seen === 0 ? -1 : writers.indexOf(writer);
      if (seen !== 0 && at < 0) return `${one.number} read ${key} as ${seen} wrote it, which never was committed`;
      if (seen !== 0) edge(writer, one);
      if (at + 1 < writers.length) edge(one, writers[at + 1]);
    }
  }
  return cycle(history, followers);
}

/** Takes away whoever nobody must come before, until nobody is left. */
function cycle(history, followers) {
  const before = new Map(history.map((one) => [one, 0]));
  for (const all of followers.values()) for (const one of all) before.set(one, before.get(one) + 1);
  const ready = history.filter((one) => before.get(one) === 0);
  for (let i = 0; i < ready.length; i++) {
    for (const one of followers.get(ready[i])) {
      before.set(one, before.get(one) - 1);
      if (before.get(one) === 0) ready.push(one);
    }
  }
  if (ready.length === history.length) return null;
  const left = history.filter((one) => before.get(one) > 0).map(({ number }) => number);
  return `no order is possible of ${left.slice(0, 20).join(', ')}`;
}
