import { createHash } from 'node:crypto';
import type { EndpointSettings } from '../endpoint-settings.ts';

/**
 * Which shard reads an endpoint: the one with the highest SHA-256 over shard and key, the key being the label `rack`, else
 * the name. One shard more takes its share from all others and moves nothing else.
 * @param shards number of shards; > 0
 */
export function shardOf({ name, labels }: Pick<EndpointSettings, 'name' | 'labels'>, shards: number): number {
  const key = labels.rack ?? name;
  let best = 0;
  let highest = '';
  for (let shard = 0; shard < shards; shard++) {
    const weight = createHash('sha256').update(`${shard}/${key}`).digest('hex');
    if (weight > highest) [best, highest] = [shard, weight];
  }
  return best;
}
