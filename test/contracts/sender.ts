import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Sender, SendResult } from '../../src/component/exporter.ts';
import { testHost } from '../support/host.ts';
import { batch, record } from '../support/records.ts';

const KINDS: readonly SendResult['kind'][] = ['accepted', 'retry', 'suspect', 'reject', 'too_large', 'hold', 'unknown'];
const never = new AbortController().signal;

/** What every sender must do, whatever it sends to. @param make one that is not started; its backend is well */
export function senderContract(name: string, make: (t: TestContext) => Promise<Sender>): void {
  const started = async (t: TestContext): Promise<Sender> => {
    const sender = await make(t);
    await sender.start?.(testHost());
    t.after(() => sender.shutdown?.(never));
    return sender;
  };

  test(`${name}: takes what is well, many at once, and changes nothing of it`, async (t) => {
    const sender = await started(t);
    // Frozen: a sender that writes to what it is given throws here.
    const given = Array.from({ length: 10 }, (_, n) => batch(`a ${n}`, `b ${n}`).records);
    const results = await Promise.all(given.map((records) => sender.sendLogs!(records, { signal: never })));
    assert.deepEqual(
      results,
      given.map(() => ({ kind: 'accepted' })),
    );
  });

  test(`${name}: an attempt whose time is over ends, with a result or with the signal's reason`, async (t) => {
    const sender = await started(t);
    const over = new AbortController();
    over.abort(new Error('time is over'));
    const result = await sender.sendLogs!([record('a')], { signal: over.signal }).catch((error: Error) => error);
    assert.ok(result instanceof Error || KINDS.includes(result.kind), String(result));
  });

  test(`${name}: stops twice, and without a start`, async (t) => {
    const sender = await started(t);
    await sender.shutdown?.(never);
    await sender.shutdown?.(never);
    await (await make(t)).shutdown?.(never);
  });
}
