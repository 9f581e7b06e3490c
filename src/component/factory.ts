import type { z } from 'zod';
import type { Clock } from './clock.ts';
import type { Component, Host } from './component.ts';
import type { NextConsumers } from './consumer.ts';
import type { Sender } from './exporter.ts';
import type { ComponentId } from './id.ts';
import type { MetricDoc } from './metric-doc.ts';
import type { Secret } from './secret.ts';

/** Version of what `outband/component` promises; a change that a component can notice raises it. */
export const CONTRACT = 1;

/** What a pipeline carries. */
export type Signal = 'logs' | 'metrics';
/** How much a component may still change, per signal; the Collector's words. */
export const STABILITIES = ['development', 'alpha', 'beta', 'stable'] as const;
export type Stability = (typeof STABILITIES)[number];

/** A setting that names another component, so that the configuration check can find a missing one before start. */
export interface ExtensionReference {
  /** Path of the setting inside the component's settings. */
  readonly path: readonly (string | number)[];
  readonly id: string;
}

interface FactoryBase<Config> {
  /** Folder name with underscores; the key in the configuration. */
  readonly type: string;
  /** Other names of the type, which a configuration may still use; each use is a warning. */
  readonly aliases?: readonly string[];
  /** Least {@link CONTRACT} that the component needs; an older agent refuses it by name. Default 1. */
  readonly contract?: number;
  /** One sentence for the component table. */
  readonly summary: string;
  /** Settings: parser, manual and completion in one. */
  readonly schema: z.ZodType<Config>;
  /** The least settings that are of use, as YAML, for the manual. Default: none are needed. */
  readonly example?: string;
  /** The component's own metrics, for the manual. Those of the queue around an exporter need not be named. */
  readonly metrics?: readonly MetricDoc[];
  /**
   * Extensions that these settings refer to. Called with settings that may still hold mistakes, so that a missing
   * extension is told together with them.
   */
  references?(config: Partial<NoInfer<Config>>): readonly ExtensionReference[];
}

interface CreateOptions<Config> {
  readonly id: ComponentId;
  readonly config: Config;
  readonly host: Host;
}

/** One answer of a probe. */
export interface Finding {
  readonly topic: string;
  /** `fail`: the receiver cannot work like this; `warn`: it can, and somebody should look. */
  readonly verdict: 'ok' | 'warn' | 'fail';
  /** One or two sentences. */
  readonly text: string;
  /** Lines to paste. */
  readonly block?: string;
  /** The same for programs. */
  readonly details?: Readonly<Record<string, unknown>>;
}

export interface ProbeOptions {
  /** `https://host[:port]` of the peer. */
  readonly address: string;
  readonly account?: { readonly username: string; readonly password: Secret };
  /** In the words of the receiver's `tls` section. */
  readonly tls: Readonly<Record<string, unknown>>;
  /** Whether a session may be made, and a stream tried. */
  readonly withSession: boolean;
  readonly withStream: boolean;
  readonly clock: Clock;
  /** Ends the probe; what it has opened is closed all the same. */
  readonly signal: AbortSignal;
}

/**
 * `create` is called once per id, for all signals that its pipelines give it, and once more whenever a configuration is looked at. It opens
 * nothing and changes nothing outside: `start` does.
 */
export interface ReceiverFactory<Config = unknown> extends FactoryBase<Config> {
  readonly kind: 'receiver';
  readonly stability: Partial<Record<Signal, Stability>>;
  create(options: CreateOptions<Config> & { readonly next: NextConsumers }): Component;
  /**
   * Looks at one peer with the receiver's own judgement, without an agent: for the command `probe`. It leaves nothing behind.
   * @throws OutbandError `config_value` for settings that the receiver would not take
   */
  probe?(options: ProbeOptions): AsyncIterable<Finding>;
}

/** `create` is called once per pipeline: `next` has one consumer, and the processor offers the same one. */
export interface ProcessorFactory<Config = unknown> extends FactoryBase<Config> {
  readonly kind: 'processor';
  readonly stability: Partial<Record<Signal, Stability>>;
  create(options: CreateOptions<Config> & { readonly next: NextConsumers }): Component & NextConsumers;
}

/** `create` is called once per id. Delivery settings in the schema (see `config/schema/delivery.ts`) act around it. */
export interface ExporterFactory<Config = unknown> extends FactoryBase<Config> {
  readonly kind: 'exporter';
  readonly stability: Partial<Record<Signal, Stability>>;
  create(options: CreateOptions<Config>): Sender;
}

/** `create` is called once per id that `service::extensions` lists. */
export interface ExtensionFactory<Config = unknown> extends FactoryBase<Config> {
  readonly kind: 'extension';
  readonly stability: Stability;
  create(options: CreateOptions<Config>): Component;
}

/** What a list of components holds. `any`: a list mixes settings of every type, and each schema guards its own. */
export type AnyFactory =
  // biome-ignore lint/suspicious/noExplicitAny: see above
  ReceiverFactory<any> | ProcessorFactory<any> | ExporterFactory<any> | ExtensionFactory<any>;

/** Gives a receiver its kind, and its settings their type. */
export function defineReceiver<Config>(factory: Omit<ReceiverFactory<Config>, 'kind'>): ReceiverFactory<Config> {
  return { kind: 'receiver', ...factory };
}

/** As {@link defineReceiver}, for a processor. */
export function defineProcessor<Config>(factory: Omit<ProcessorFactory<Config>, 'kind'>): ProcessorFactory<Config> {
  return { kind: 'processor', ...factory };
}

/** As {@link defineReceiver}, for an exporter. */
export function defineExporter<Config>(factory: Omit<ExporterFactory<Config>, 'kind'>): ExporterFactory<Config> {
  return { kind: 'exporter', ...factory };
}

/** As {@link defineReceiver}, for an extension. */
export function defineExtension<Config>(factory: Omit<ExtensionFactory<Config>, 'kind'>): ExtensionFactory<Config> {
  return { kind: 'extension', ...factory };
}
