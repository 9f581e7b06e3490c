/**
 * Ties a simulator process to its parent: `stop` runs once, on SIGTERM or when stdin closes, so that nothing is left
 * behind even when the parent was killed hard. SIGINT is the parent's to handle.
 */
export function tiedToParent(stop: () => Promise<void>): void {
  let stopping = false;
  const once = () => {
    if (stopping) return;
    stopping = true;
    void stop().finally(() => process.stdin.destroy());
  };
  process.on('SIGINT', () => {});
  process.on('SIGTERM', once);
  process.stdin.on('end', once).on('error', once).resume();
}
