import { createHash } from 'node:crypto';

const RUNTIME_EVENT = 0x08000001;

/** An entry of a dstack event log; the payload in hex. */
export interface LoggedEvent {
  readonly imr: number;
  readonly event_type: number;
  readonly digest: string;
  readonly event: string;
  readonly event_payload: string;
}

/** An event of RTMR3. */
export function runtimeEvent(event: string, payload: Uint8Array): LoggedEvent {
  const type = Buffer.alloc(4);
  type.writeUInt32LE(RUNTIME_EVENT);
  const digest = createHash('sha384').update(type).update(`:${event}:`).update(payload).digest('hex');
  return { imr: 3, event_type: RUNTIME_EVENT, digest, event, event_payload: Buffer.from(payload).toString('hex') };
}

/** What is logged of a workload, each in hex. */
export interface LoggedWorkload {
  readonly osImageHash: string;
  readonly composeHash: string;
  readonly instanceId: string;
  /** The image's hash is logged a second time, or only when the system was ready. */
  readonly imageHash?: 'twice' | 'late';
}

/** The events of a boot, in order. */
export function bootEvents({ osImageHash, composeHash, instanceId, imageHash }: LoggedWorkload): LoggedEvent[] {
  const bytes = (hex: string) => Buffer.from(hex, 'hex');
  const none = Buffer.alloc(0);
  const image = runtimeEvent('os-image-hash', bytes(osImageHash));
  return [
    runtimeEvent('system-preparing', none),
    runtimeEvent('app-id', bytes(composeHash.slice(0, 40))),
    runtimeEvent('compose-hash', bytes(composeHash)),
    runtimeEvent('instance-id', bytes(instanceId)),
    runtimeEvent('boot-mr-done', none),
    ...(imageHash === 'late' ? [] : [image]),
    ...(imageHash === 'twice' ? [image] : []),
    runtimeEvent('key-provider', Buffer.from('{"name":"none","id":""}')),
    runtimeEvent('storage-fs', Buffer.from('zfs')),
    runtimeEvent('system-ready', none),
    ...(imageHash === 'late' ? [image] : []),
  ];
}

/** The RTMR that a log extends, from 48 zero bytes. */
export function replay(events: readonly LoggedEvent[]): Buffer {
  return events.reduce(
    (rtmr, { digest }) => createHash('sha384').update(rtmr).update(Buffer.from(digest, 'hex')).digest(),
    Buffer.alloc(48) as Buffer,
  );
}
