import type { Storage } from '../../src/component/storage.ts';
import { SchedulerExtension } from '../../src/extensions/scheduler/extension.ts';
import factory from '../../src/extensions/scheduler/index.ts';
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
export async function virtualScheduler({ settings = {}, clock = new FakeClock(), ...rest }: VirtualSchedulerOptions) {
  const host = testHost({ clock, ...rest });
  const extension = new SchedulerExtension(factory.schema.parse(settings), host);
  await extension.start();
  return { clock, host, extension };
}
