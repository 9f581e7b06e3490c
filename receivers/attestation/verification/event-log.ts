import { createHash } from 'node:crypto';
import type { LoggedEvent } from './report.ts';

/** Events that software adds while a workload starts. */
const RUNTIME_EVENT = 0x08000001;
const RTMR3 = 3;
const RTMR_BYTES = 48;

const IDENTITY_EVENTS = ['os-image-hash', 'compose-hash', 'instance-id'] as const;
/** After it the workload itself may add events, so nothing later is evidence. */
const END_OF_START = 'system-ready';
/** Hashes and ids are shorter. */
const MOST_PAYLOAD_BYTES = 64;

/** What the log says of the workload; hex. */
export type WorkloadIdentity = Readonly<Record<(typeof IDENTITY_EVENTS)[number], string>>;

/**
 * The value that RTMR3 has when these events were added to it in this order. All are runtime events there, and their
 * digests are computed from what they are digests of: under a digest that stands in the log, what really was measured
 * could hide, and the workload could add events of its liking after it.
 * @returns undefined when one is no runtime event
 */
export function replayRtmr3(events: readonly LoggedEvent[]): Buffer | undefined {
  const extensions = events.filter(({ imr }) => imr === RTMR3);
  if (extensions.some(({ type }) => type !== RUNTIME_EVENT)) return undefined;
  return extensions.reduce<Buffer>((register, event) => sha384(register, digestOf(event)), Buffer.alloc(RTMR_BYTES));
}

function digestOf({ type, name, payload }: LoggedEvent): Buffer {
  const kind = Buffer.alloc(4);
  kind.writeUInt32LE(type);
  return sha384(kind, Buffer.from(`:${name}:`), payload);
}

function sha384(...parts: readonly Buffer[]): Buffer {
  const hash = createHash('sha384');
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** @returns undefined unless each of the events stands there once, in a sensible length, before the end of the start */
export function readIdentity(events: readonly LoggedEvent[]): WorkloadIdentity | undefined {
  const runtime = events.filter(({ imr }) => imr === RTMR3);
  const placesOf = (wanted: string) => runtime.flatMap(({ name }, index) => (name === wanted ? [index] : []));
  const [end, ...moreEnds] = placesOf(END_OF_START);
  if (end === undefined || moreEnds.length > 0) return undefined;
  const identity: Partial<Record<keyof WorkloadIdentity, string>> = {};
  for (const name of IDENTITY_EVENTS) {
    const [place, ...more] = placesOf(name);
    if (place === undefined || more.length > 0 || place > end) return undefined;
    const { payload } = runtime[place]!;
    if (payload.length > MOST_PAYLOAD_BYTES) return undefined;
    identity[name] = payload.toString('hex');
  }
  return identity as WorkloadIdentity;
}
