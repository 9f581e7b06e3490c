import { COVERAGES } from './diagnosis/coverage.ts';
import { BALANCES } from './diagnosis/estimates.ts';
import type { Reading } from './metrics.ts';
import { identitiesSince } from './pins/pin-set.ts';
import type { Pool } from './pool.ts';
import type { SourceView } from './sources/model-sources.ts';

export interface Readable {
  readonly pools: Iterable<Pool>;
  readonly sources: readonly SourceView[];
  readonly skipped: number;
  /** Milliseconds, of each set of rules that holds collateral. */
  readonly collateralTtls: readonly (number | undefined)[];
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** Everything that is shown when metrics are read. What has no value has no reading. */
export function* readings({ pools, sources, skipped, collateralTtls, now }: Readable): Generator<Reading> {
  for (const pool of pools) yield* poolReadings(pool, now);
  for (const { name: source, models, ageMs } of sources) {
    yield ['sourceModels', models, { source }];
    if (ageMs !== undefined) yield ['sourceAge', ageMs / 1_000, { source }];
  }
  const ttls = collateralTtls.filter((ttl) => ttl !== undefined);
  if (ttls.length > 0) yield ['collateralTtl', Math.min(...ttls) / 1_000];
  yield ['poolsSkipped', skipped];
}

function* poolReadings(pool: Pool, now: number): Generator<Reading> {
  const { summary, lastAt, settings } = pool;
  const { stall } = pool.memory;
  const attributes = { pool: settings.name };
  const pins = [...pool.pins.values()];
  const backends = identitiesSince(pool.pins, 0);
  yield ['pinned', backends, attributes];
  yield ['blocked', pool.state === 'blocked' ? 1 : 0, attributes];
  yield ['stalled', stall ? 1 : 0, attributes];
  yield ['candidates', pool.candidates.open(now).length, attributes];
  const declared = summary?.declared ?? pool.memory.lastCount ?? settings.declared;
  if (declared !== undefined) {
    yield ['declared', declared, attributes];
    yield ['coverageRatio', backends / declared, attributes];
  }
  const ages = { lastCycleAge: lastAt.cycle, lastNewAge: lastAt.new, lastCompleteAge: lastAt.complete };
  for (const [name, at] of Object.entries(ages))
    if (at !== undefined) yield [name as keyof typeof ages, (now - at) / 1_000, attributes];
  if (pins.length > 0) {
    yield ['oldestVerifiedAge', (now - Math.min(...pins.map((pin) => pin.lastVerified))) / 1_000, attributes];
    yield ['minCertTtl', (Math.min(...pins.map((pin) => pin.notAfter)) - now) / 1_000, attributes];
  }
  if (!summary) return;
  const { estimated, effectiveSize, unseenMassUpper, stallP } = summary;
  const figures = { estimated, effectiveSize, unseenMassUpper, stallP };
  for (const [name, value] of Object.entries(figures))
    if (value !== null) yield [name as keyof typeof figures, value, attributes];
  for (const verdict of BALANCES) yield ['balance', summary.balance === verdict ? 1 : 0, { ...attributes, verdict }];
  for (const coverage of COVERAGES)
    yield ['coverage', summary.coverage === coverage ? 1 : 0, { ...attributes, coverage }];
}
