import type { Clock } from '../component/clock.ts';
import type { Storage } from '../component/storage.ts';
import { SchedulerExtension } from '../extensions/scheduler/extension.ts';
import factory from '../extensions/scheduler/index.ts';
import { FakeClock } from './fake-clock.ts';
import { type TestHost, testHost } from './host.ts';

export interface VirtualSchedulerOptions {
  /** As in a configuration file. */
  readonly settings?: Record<string, unknown>;
  readonly clock?: FakeClock;
  readonly random?: () => number;
  readonly storage?: Storage;
  readonly meter?: TestHost['meter'];
}

/** The real scheduler on a clock that the test moves, started. */
export async function virtualScheduler({ clock = new FakeClock(), ...rest }: VirtualSchedulerOptions) {
  return { clock, ...(await schedulerOn(clock, rest)) };
}

/** The real scheduler on this clock, started. */
export async function schedulerOn(
  clock: Clock,
  { settings = {}, ...rest }: Omit<VirtualSchedulerOptions, 'clock'> = {},
) {
  const host = testHost({ clock, ...rest });
  const extension = new SchedulerExtension(factory.schema.parse(settings), host);
  await extension.start();
  return { host, extension };
}
