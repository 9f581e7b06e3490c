import { type Resource, resourceFromAttributes } from '@opentelemetry/resources';
import type { Component } from '../../component/component.ts';
import type { NextConsumers } from '../../component/consumer.ts';
import type { LogBatch } from '../../telemetry/log-batch.ts';
import type { ResourceAction } from './index.ts';

type Attributes = Resource['attributes'];

/** The attributes after all actions in order; the same object when none changed anything. Pure. */
export function applyActions(attributes: Attributes, actions: readonly ResourceAction[]): Attributes {
  let result = attributes;
  for (const { key, action, value, from_attribute } of actions) {
    const exists = result[key] !== undefined;
    if (action === 'delete') {
      if (!exists) continue;
      const { [key]: _, ...rest } = result;
      result = rest;
      continue;
    }
    const given = from_attribute === undefined ? value : result[from_attribute];
    const applies = action === 'upsert' || (action === 'insert' ? !exists : exists);
    if (applies && given !== undefined && result[key] !== given) result = { ...result, [key]: given };
  }
  return result;
}

/** Changes resources; scope and records stay as they are. One new object per resource, so requests keep their groups. */
export class ResourceProcessor implements Component, NextConsumers {
  readonly logs: NextConsumers['logs'];
  readonly metrics: NextConsumers['metrics'];
  readonly #actions: readonly ResourceAction[];
  readonly #changed = new WeakMap<Resource, Resource>();
  /** A batch that is offered again must be the same object after this processor, too. */
  readonly #batches = new WeakMap<object, object>();

  constructor(actions: readonly ResourceAction[], { logs, metrics }: NextConsumers) {
    this.#actions = actions;
    this.logs = logs && {
      consumeLogs: (batch, context) =>
        logs.consumeLogs(
          this.#once(batch, () => this.#batch(batch)),
          context,
        ),
    };
    this.metrics = metrics && {
      consumeMetrics: (data, context) => {
        const resource = this.#resource(data.resource);
        const same = resource === data.resource;
        return metrics.consumeMetrics(same ? data : this.#once(data, () => ({ ...data, resource })), context);
      },
    };
  }

  async start(): Promise<void> {}

  async shutdown(): Promise<void> {}

  #batch(batch: LogBatch): LogBatch {
    const resource = this.#resource(batch.resource);
    if (resource === batch.resource) return batch;
    return { ...batch, resource, records: batch.records.map((record) => ({ ...record, resource })) };
  }

  #once<T extends object>(input: T, make: () => T): T {
    const known = this.#batches.get(input) as T | undefined;
    if (known) return known;
    const made = make();
    this.#batches.set(input, made);
    return made;
  }

  #resource(resource: Resource): Resource {
    const known = this.#changed.get(resource);
    if (known) return known;
    const attributes = applyActions(resource.attributes, this.#actions);
    const { schemaUrl } = resource;
    const made =
      attributes === resource.attributes
        ? resource
        : resourceFromAttributes(attributes, schemaUrl ? { schemaUrl } : {});
    this.#changed.set(resource, made);
    return made;
  }
}
