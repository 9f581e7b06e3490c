import { OutbandError } from '../../component/errors.ts';
import { publicAddress } from '../../component/public-message.ts';
import type { Target, TargetOptions } from '../../component/scheduler.ts';
import { type Identity, sortKeyOf } from './registry.ts';

const TARGET_TYPE = /^[a-z][a-z0-9_-]{0,31}$/;
const TARGET_NAME = /^\P{Cc}{1,256}$/u;
/** No span of a target is longer: ten years. */
export const LONGEST_SPAN_MS = 10 * 365 * 24 * 3_600_000;

/** What is kept of a registration. @throws OutbandError `target_invalid` */
export function identityOf(target: Target, options: TargetOptions): Identity {
  const { type, name } = target;
  const key = `${type}::${name}`;
  if (!TARGET_TYPE.test(type) || !TARGET_NAME.test(name) || !name.isWellFormed())
    throw new OutbandError('target_invalid', `scheduler target "${key}" has a bad type or name`);
  checkSpans(key, options);
  const { internal = false, maxInterval = LONGEST_SPAN_MS, maxRetryDelay = LONGEST_SPAN_MS, phase } = options;
  return {
    ...{ key, sortKey: sortKeyOf(key), type, name, target, internal, maxInterval, maxRetryDelay, phase },
    displayName: target.displayName ?? name,
    connection: publicAddress(target.connection),
    mode: options.mode ?? 'poll',
  };
}

/** A span that is none would stop more than its own target. @throws OutbandError `target_invalid` */
export function checkSpans(key: string, options: TargetOptions): void {
  const { interval, timeout = 1, minInterval = 0, phase = 0, maxInterval = 1, maxRetryDelay = 1 } = options;
  const positive = { interval, timeout, maxInterval, maxRetryDelay };
  const wrong = Object.entries({ ...positive, minInterval, phase }).find(
    ([name, span]) => !(span >= (name in positive ? 1 : 0) && span <= LONGEST_SPAN_MS),
  );
  if (!wrong) return;
  const message = `scheduler target "${key}": ${wrong[0]} must not be ${wrong[1]}`;
  throw new OutbandError('target_invalid', message);
}
