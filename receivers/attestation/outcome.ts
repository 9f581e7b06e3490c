import { OutbandError } from '../../src/component/errors.ts';
import { reasonOf } from './probe/failure.ts';
import type { ProbeResult } from './probe/result.ts';

/** Everything that is counted and listed about a cycle. Lists are in launch order and keep repeats. */
export interface Tally {
  readonly calls: number;
  readonly ok: number;
  readonly successfulCalls: number;
  readonly failedCalls: number;
  readonly verifyFailures: number;
  readonly unboundCalls: number;
  readonly cancelledCalls: number;
  readonly observedFingerprints: readonly string[];
  /** Parallel to `observedFingerprints`. */
  readonly observedAttempts: readonly number[];
  /** Of failed and not proven calls together; the two lists after it run parallel. */
  readonly failureReasons: readonly string[];
  readonly failureAttempts: readonly number[];
  readonly failureStages: readonly string[];
  readonly unboundAttempts: readonly number[];
  /** Keys of peers whose report did not prove them. */
  readonly unverifiedFingerprints: readonly string[];
}

/** The one place where results become numbers; pure. @param results of one cycle, in any order */
export function tally(results: readonly ProbeResult[]): Tally {
  const inOrder = [...results].sort((a, b) => a.attempt - b.attempt);
  const only = (outcome: ProbeResult['outcome']) => inOrder.filter((one) => one.outcome === outcome);
  const [ok, unverified, unbound] = [only('ok'), only('verify_failed'), only('unbound')];
  const failures = inOrder.flatMap(({ outcome, attempt, failure }) =>
    (outcome === 'failed' || outcome === 'verify_failed') && failure ? [{ attempt, failure }] : [],
  );
  const seen = (list: readonly ProbeResult[]) =>
    list.flatMap(({ attempt, fingerprint }) => (fingerprint === undefined ? [] : [{ attempt, fingerprint }]));
  return {
    calls: inOrder.length,
    ok: ok.length,
    successfulCalls: ok.length + unverified.length,
    failedCalls: only('failed').length,
    verifyFailures: unverified.length,
    unboundCalls: unbound.length,
    cancelledCalls: only('cancelled').length,
    observedFingerprints: seen(ok).map(({ fingerprint }) => fingerprint),
    observedAttempts: seen(ok).map(({ attempt }) => attempt),
    failureReasons: failures.map(({ failure }) => reasonOf(failure)),
    failureAttempts: failures.map(({ attempt }) => attempt),
    failureStages: failures.map(({ failure }) => failure.stage),
    unboundAttempts: unbound.map(({ attempt }) => attempt),
    unverifiedFingerprints: seen(unverified).map(({ fingerprint }) => fingerprint),
  };
}

/**
 * Whether the numbers of a cycle agree with each other and with what was planned. A cycle whose numbers do not must not
 * change a pin.
 * @param planned how many probes were to be launched
 * @returns the sums that do not hold
 */
export function brokenSums(planned: number, results: readonly ProbeResult[], of: Tally): string[] {
  const sums = {
    calls:
      of.calls === planned &&
      of.calls === of.ok + of.failedCalls + of.verifyFailures + of.unboundCalls + of.cancelledCalls,
    successful_calls: of.successfulCalls === of.ok + of.verifyFailures,
    observed_fingerprints: of.observedFingerprints.length === of.ok,
    failure_reasons: of.failureReasons.length === of.failedCalls + of.verifyFailures,
    attempts: new Set(results.map(({ attempt }) => attempt)).size === planned,
  };
  return Object.entries(sums).flatMap(([name, holds]) => (holds ? [] : [name]));
}

/** Waiting heals no wrong setting and no missing right. */
export function failureOf(results: readonly ProbeResult[], { calls, failureReasons }: Tally): OutbandError {
  const isPermanent =
    results.length > 0 &&
    results.every(
      ({ failure, httpStatus }) =>
        failure?.category === 'client_build' ||
        failure?.category === 'query_encode' ||
        httpStatus === 401 ||
        httpStatus === 403,
    );
  const [reason = 'cut off'] = commonest(failureReasons);
  return new OutbandError(
    isPermanent ? 'config_invalid' : 'pool_unproven',
    `no probe of ${calls} proved a backend (${reason})`,
  );
}

/** The most frequent first. */
export function commonest(reasons: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]).map(([reason]) => reason);
}
