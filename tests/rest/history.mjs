// Is a recorded history of operations on single keys linearizable?
//
// Every write answers a version, and the versions of a key are the order in which its writes took effect. So a history
// of one key is linearizable if each operation can be put at a place in that order, writes at their own and reads
// behind the write that they saw, such that no operation stands before one that had ended when it began. What a read
// that found nothing saw is open, before the first write or behind any delete: the earliest place that the operations
// before it allow constrains those after it least, so it is tried alone.
//
// An operation: { key, kind: 'put' | 'delete' | 'get', begin, end, version, value }; a get that found nothing has
// version null. Times are of one monotonic clock.

/** null, or what is wrong: { reason, operation }. */
export function contradiction(history) {
  const keys = new Map();
  for (const operation of history) {
    if (!keys.has(operation.key)) keys.set(operation.key, []);
    keys.get(operation.key).push(operation);
  }
  for (const operations of keys.values()) {
    const found = contradictionOfOneKey(operations);
    if (found) return found;
  }
  return null;
}

function contradictionOfOneKey(operations) {
  const writes = operations.filter((one) => one.kind !== 'get').sort((a, b) => (a.version < b.version ? -1 : 1));
  const places = new Map();
  writes.forEach((write, index) => places.set(write.version, index + 1));
  if (places.size !== writes.length) return { reason: 'a version was given to two writes', operation: writes[0] };
  const emptyAt = [0, ...writes.flatMap((write, index) => (write.kind === 'delete' ? [index + 1] : []))];

  const byEnd = [...operations].sort((a, b) => a.end - b.end);
  const placed = new Map();
  let least = 0; // the greatest place of all that ended before
  let ended = 0;
  for (const operation of [...operations].sort((a, b) => a.begin - b.begin)) {
    for (; ended < byEnd.length && byEnd[ended].end < operation.begin; ended++) least = Math.max(least, placed.get(byEnd[ended]));
    const problem = place(operation, least);
    if (problem) return { reason: problem, operation };
  }
  return null;

  function place(operation, floor) {
    if (operation.kind !== 'get') {
      placed.set(operation, places.get(operation.version));
      return placed.get(operation) > floor ? null : 'a write took effect before one that had ended, or been seen, when it began';
    }
    if (operation.version === null) {
      const at = emptyAt.find((one) => one >= floor);
      placed.set(operation, at);
      return at === undefined ? 'a read found nothing where something must have been' : null;
    }
    const at = places.get(operation.version);
    const write = writes[at - 1];
    if (!write || write.kind !== 'put') return 'a read saw a version that no put made';
    if (write.value !== operation.value) return 'a read saw another value than its version was written with';
    if (write.begin > operation.end) return 'a read saw a write that had not begun';
    placed.set(operation, at);
    return at >= floor ? null : 'a read saw an older state than one that had been seen, or written, when it began';
  }
}
