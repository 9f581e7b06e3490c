import type { Clock } from '../../../src/component/clock.ts';
import type { Finding } from '../../../src/component/factory.ts';
import type { RedfishClient } from '../client/redfish-client.ts';
import { fromEntry, type Happening } from '../happening.ts';
import { isOnlyLink, type Json, type JsonObject, objectsOf, textOf } from '../json.ts';
import { rankOf } from '../logs/cursor.ts';
import type { LogService } from '../logs/discovery.ts';
import { directionOf } from '../logs/order.ts';
import { eventTime } from '../record/time.ts';
import { explained } from './explained.ts';

/**
 * One log service: its size, its order, and by what the receiver would know its entries. Reads the service and the first page
 * of its entries; where members are only links, the first and the last of them.
 */
export async function lookAtLog(
  service: LogService,
  isExcluded: boolean,
  { client, clock, signal }: { readonly client: RedfishClient; readonly clock: Clock; readonly signal: AbortSignal },
): Promise<Finding> {
  const { path } = service;
  const finding = (verdict: Finding['verdict'], text: string, more = {}): Finding => ({
    ...{ topic: 'logs', verdict, text: `${path}: ${text}`, details: { path, ...more } },
  });
  if (isExcluded) return finding('ok', 'not read, exclude_services names it');
  try {
    const { body } = await client.get(path, signal);
    const started = clock.monotonic();
    const page = (await client.get(service.entries, signal)).body;
    const seconds = Math.round(clock.monotonic() - started) / 1_000;
    const members = objectsOf(page.Members);
    const entries: Happening[] = [];
    for (const member of [...new Set(members.every(isOnlyLink) ? [members[0], members.at(-1)] : members)])
      if (member) entries.push(toEntry(await whole(member, client, signal), service, clock.now()));
    const count = page['Members@odata.count'];
    const total = typeof count === 'number' ? count : members.length;
    const facts = {
      entries: total,
      maximum: numberOf(body.MaxNumberOfRecords),
      overwrite: textOf(body.OverWritePolicy),
      order: directionOf(entries.map((entry) => rankOf(entry) ?? entry.time.epochNanos)),
      ids: idsOf(entries),
      identity: identityOf(entries),
      pageSize: members.length,
      isLinked: members.length > 0 && members.every(isOnlyLink),
      secondsPerPage: seconds,
    };
    return finding('ok', textFor(facts), facts);
  } catch (error) {
    signal.throwIfAborted();
    return finding('fail', explained(error));
  }
}

function textFor(facts: {
  readonly entries: number;
  readonly maximum: number | undefined;
  readonly overwrite: string | undefined;
  readonly order: string | undefined;
  readonly ids: string | undefined;
  readonly identity: string | undefined;
  readonly pageSize: number;
  readonly isLinked: boolean;
  readonly secondsPerPage: number;
}): string {
  const { entries, maximum, overwrite, order, ids, identity, pageSize, isLinked, secondsPerPage } = facts;
  const parts = [
    `${entries} entries${maximum === undefined ? '' : ` of at most ${maximum}`}`,
    overwrite && `policy ${overwrite}`,
    order?.replace('_', ' '),
    ids && `Ids are ${ids}`,
    identity && `known by ${identity}`,
    `${pageSize} ${isLinked ? 'links' : 'entries'} per page, ${secondsPerPage} s each`,
  ];
  return parts.filter(Boolean).join('; ');
}

async function whole(member: JsonObject, client: RedfishClient, signal: AbortSignal): Promise<JsonObject> {
  return isOnlyLink(member) ? (await client.get(member['@odata.id'], signal)).body : member;
}

function toEntry(json: JsonObject, service: LogService, nowNanos: bigint): Happening {
  const time = eventTime([json.EventTimestamp, json.Created], { nowNanos, offsetMinutes: service.offsetMinutes });
  return fromEntry(json, { endpoint: '', service: service.path, time, useSequence: true, generation: 0 });
}

function idsOf(entries: readonly Happening[]): string | undefined {
  if (entries.length === 0) return undefined;
  return entries.every(({ id }) => /^\d+$/.test(id ?? '')) ? 'integers' : 'texts';
}

/** The receiver gives a vendor's number up where two entries share one. */
function identityOf(entries: readonly Happening[]): string | undefined {
  if (entries.length === 0) return undefined;
  const sequences = entries.flatMap(({ sequence }) => sequence ?? []);
  const isUsed = sequences.length > 0 && new Set(sequences).size === sequences.length;
  return `${isUsed ? "the vendor's running number" : 'Id'}, time and MessageId`;
}

function numberOf(value: Json | undefined): number | undefined {
  return typeof value === 'number' ? value : undefined;
}
