import type { IncomingMessage } from 'node:http';
import type { Auth } from './access.ts';
import type { SimulatedBmc } from './bmc.ts';
import type { StreamBehaviour } from './event-stream.ts';
import type { Fault } from './faults.ts';
import type { EntryPatch, LiveLog } from './live-log.ts';
import type { Overlay } from './overlay.ts';

/** How a log shows itself; the same names as in {@link LiveLog}. */
type LogSettings = Partial<
  Pick<LiveLog, 'order' | 'pageSize' | 'ids' | 'linkOnly' | 'clockOffsetMs' | 'etag' | 'filter' | 'skip' | 'top'>
>;

type LogCommand = { readonly log?: number } & (
  | { readonly op: 'append'; readonly n?: number; readonly text?: string; readonly severity?: string }
  | { readonly op: 'clear' | 'renumber' }
  | { readonly op: 'wrap'; readonly max: number }
  /** `place` counts from the oldest. */
  | { readonly op: 'change'; readonly place: number; readonly patch: EntryPatch }
  | { readonly op: 'set'; readonly settings: LogSettings }
);

/** A stream, or what the EventService says; `base64` are the bytes of a script. */
type SseCommand = Partial<Omit<Extract<StreamBehaviour, { kind: 'script' }>, 'kind' | 'bytes'>> & {
  readonly kind?: StreamBehaviour['kind'];
  readonly base64?: string;
  readonly eventService?: SimulatedBmc['eventService'];
  readonly mute?: boolean;
  /** An event that stands in no log. */
  readonly event?: object;
};

/** Acts on a command to one BMC. @returns whether there is such a command */
export async function commandBmc(bmc: SimulatedBmc, command: string, body: unknown): Promise<boolean> {
  switch (command) {
    case 'faults':
      bmc.faults.push(...listOf<Fault>(body));
      return true;
    case 'overlay':
      bmc.overlay.push(...listOf<Overlay>(body));
      return true;
    case 'auth':
      bmc.auth = (body as Auth | null) ?? undefined;
      return true;
    case 'logs':
      commandLog(bmc, body as LogCommand);
      return true;
    case 'sse':
      commandStream(bmc, body as SseCommand);
      return true;
    case 'reboot':
      await bmc.reboot((body ?? {}) as { firmware?: string; downMs?: number });
      return true;
    default:
      return false;
  }
}

/** Takes back all faults or overlays of a BMC. @returns whether there is such a list */
export function clearList(bmc: SimulatedBmc, list: string): boolean {
  if (list !== 'faults' && list !== 'overlay') return false;
  bmc[list].length = 0;
  return true;
}

/** The JSON body of a request; undefined: it has none. */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const text = Buffer.concat(await request.toArray()).toString();
  return text === '' ? undefined : JSON.parse(text);
}

function commandLog(bmc: SimulatedBmc, command: LogCommand): void {
  const log = bmc.log(command.log);
  switch (command.op) {
    case 'append':
      bmc.appendMany(command.n ?? 1, command);
      break;
    case 'clear':
      log.clear();
      break;
    case 'renumber':
      log.renumber();
      break;
    case 'wrap':
      log.maxEntries = command.max;
      break;
    case 'change':
      log.change(log.entries[command.place]!, command.patch);
      break;
    case 'set':
      Object.assign(log, command.settings);
      break;
    default:
      throw new Error(`no op ${(command as { op: unknown }).op}`);
  }
}

/** Streams that are open go on as they are, unless their kind changes. */
function commandStream(bmc: SimulatedBmc, { eventService, mute, event, base64, ...stream }: SseCommand): void {
  if (eventService !== undefined) bmc.eventService = eventService;
  if (mute !== undefined) bmc.mute = mute;
  if (event !== undefined) bmc.event(event);
  if (stream.kind === undefined) return;
  const bytes = base64 !== undefined && { bytes: Buffer.from(base64, 'base64') };
  bmc.stream = { ...stream, ...bytes } as StreamBehaviour;
  bmc.cutStreams();
}

function listOf<T>(body: unknown): T[] {
  return (Array.isArray(body) ? body : [body]) as T[];
}
