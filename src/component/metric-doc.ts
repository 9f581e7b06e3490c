/** From little to much. */
export const METRIC_LEVELS = ['basic', 'normal', 'detailed'] as const;
export type MetricLevel = (typeof METRIC_LEVELS)[number];

/** A metric of the agent's own: its instrument is made from this, and so is its line in the manual. */
export interface MetricDoc {
  /** Dotted; the Prometheus page turns dots into underscores. Names that the Collector has, too, stand as there. */
  readonly name: string;
  readonly kind: 'counter' | 'gauge' | 'histogram' | 'updown';
  readonly unit: string;
  readonly description: string;
  /** Names of its attributes, beside the component's own id. Their values come from closed lists. */
  readonly attributes: readonly string[];
  /** Least level of `telemetry::metrics` at which it is measured; default `basic`. */
  readonly level?: MetricLevel;
  /** Attributes, among those above, that it has at level `detailed` only. */
  readonly detailedAttributes?: readonly string[];
}
