import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromEntry } from '../../../receivers/bmc-logs/happening.ts';
import { ServiceCursor } from '../../../receivers/bmc-logs/logs/cursor.ts';
import { type PlanOptions, planRead } from '../../../receivers/bmc-logs/logs/read-plan.ts';
import { serviceAt } from '../../support/bmc-readers.ts';

const HOUR = 3_600_000;
const SERVICE = serviceAt('/redfish/v1/Log');
const at = (text: string) => BigInt(Date.parse(text)) * 1_000_000n;
const OPTIONS: PlanOptions = {
  bmcNowNanos: at('2026-11-25T12:00:00Z'),
  now: HOUR,
  fullReadInterval: 6 * HOUR,
  canFilter: false,
  canSkip: false,
};

interface Known {
  readonly entries: number;
  readonly newestFirst?: boolean;
  readonly etag?: string;
  readonly firstContact?: boolean;
}

/** A cursor after a whole read at time 0. */
function cursorOf({ entries, newestFirst, etag, firstContact = false }: Known): ServiceCursor {
  const cursor = new ServiceCursor();
  const time = { epochNanos: at('2026-11-25T11:00:00Z'), zoneAssumed: false };
  const context = { endpoint: 'r1', service: '/redfish/v1/Log', useSequence: true, generation: 0, time };
  cursor.mark(fromEntry({ Id: '1', Message: 'x' }, context), undefined);
  cursor.endWholeRead(entries);
  cursor.wholeAt = 0;
  cursor.newestFirst = newestFirst;
  cursor.etag = etag;
  cursor.firstContact = firstContact;
  return cursor;
}

const ENTRIES = '/redfish/v1/Log/Entries';
const FILTERED = `${ENTRIES}?$filter=${encodeURIComponent("Created ge '2026-11-25T11:00:00Z'")}`;
const CASES: readonly (readonly [string, Known, Partial<PlanOptions>, object])[] = [
  ['a short log is read whole', { entries: 1_000, newestFirst: true }, { canFilter: true }, { kind: 'whole' }],
  [
    'with the ETag that it gave',
    { entries: 10, etag: 'W/"1"' },
    {},
    { kind: 'whole', link: ENTRIES, ifNoneMatch: 'W/"1"' },
  ],
  [
    'of a long log that shows its newest first, up to what is known',
    { entries: 1_001, newestFirst: true },
    { canFilter: true, canSkip: true },
    { kind: 'whole', link: ENTRIES, stopsAtKnown: true },
  ],
  [
    'of a long log from the newest known time on',
    { entries: 5_000, newestFirst: false },
    { canFilter: true, canSkip: true },
    { kind: 'filter', link: FILTERED },
  ],
  [
    'or behind what is known, with sixteen known ones before it',
    { entries: 5_000, newestFirst: false },
    { canSkip: true },
    { kind: 'skip', link: `${ENTRIES}?$skip=4984` },
  ],
  ['`$skip` needs an order', { entries: 5_000 }, { canSkip: true }, { kind: 'whole' }],
  [
    'once per interval nothing is believed',
    { entries: 5_000, newestFirst: true, etag: 'x' },
    { now: 6 * HOUR, canFilter: true },
    { kind: 'whole', link: ENTRIES },
  ],
  [
    'nor at first contact',
    { entries: 5_000, newestFirst: true, etag: 'x', firstContact: true },
    { canFilter: true },
    { kind: 'whole', link: ENTRIES },
  ],
];

for (const [what, known, options, expected] of CASES)
  test(`${what}`, () => {
    const plan = planRead(SERVICE, cursorOf(known), { ...OPTIONS, ...options });
    assert.deepEqual({ ...plan, ...expected }, plan);
    if (!('ifNoneMatch' in expected)) assert.equal(plan.ifNoneMatch, undefined);
  });

test('a BMC whose clock is behind its own entries is not asked by time', () => {
  const options = { ...OPTIONS, bmcNowNanos: at('2026-11-25T10:59:59Z'), canFilter: true };
  const plan = planRead(SERVICE, cursorOf({ entries: 5_000, newestFirst: false }), options);
  assert.equal(plan.kind, 'whole');
});
