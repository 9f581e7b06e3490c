import type { z } from 'zod';

/** One setting, for the manual. */
export interface SettingDoc {
  /** `sse.idle_timeout`; `[]` stands for an element of a list. */
  readonly path: string;
  readonly type: string;
  /** As one would write it; undefined when there is none. */
  readonly default: string | undefined;
  readonly required: boolean;
  readonly description: string;
}

/** Lists the settings of a schema, in the order in which it holds them. Sections stand before what is in them. */
export function describeSettings(schema: z.ZodType, prefix = ''): SettingDoc[] {
  const { def } = unwrap(schema);
  if (def.type === 'array') return describeSettings(def.element as z.ZodType, `${prefix}[]`);
  if (def.type !== 'object') return [];
  return Object.entries(def.shape).flatMap(([key, field]) => {
    const path = prefix === '' ? key : `${prefix}.${key}`;
    const inner = unwrap(field as z.ZodType);
    const own: SettingDoc = {
      path,
      type: inner.type ?? typeName(inner.def),
      default: inner.default,
      required: inner.required,
      description: inner.description ?? '',
    };
    return [own, ...describeSettings(field as z.ZodType, path)];
  });
}

interface Unwrapped {
  readonly def: z.core.$ZodTypes['_zod']['def'];
  readonly type: string | undefined;
  readonly description: string | undefined;
  readonly default: string | undefined;
  readonly required: boolean;
}

/** Looks through defaults, optionals and transforms, and collects what they say. */
function unwrap(schema: z.ZodType): Unwrapped {
  let node = schema;
  let type: string | undefined;
  let description: string | undefined;
  let fallback: string | undefined;
  let required = true;
  for (;;) {
    const meta = node.meta();
    description ??= meta?.description;
    type ??= meta?.type as string | undefined;
    const { def } = (node as unknown as z.core.$ZodTypes)._zod;
    if (def.type === 'prefault' || def.type === 'default') {
      required = false;
      fallback ??= asWritten(def.defaultValue);
    } else if (def.type === 'optional') required = false;
    else if (def.type !== 'pipe') return { def, type, description, default: fallback, required };
    node = (def.type === 'pipe' ? def.in : def.innerType) as z.ZodType;
  }
}

function asWritten(value: unknown): string | undefined {
  if (typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length === 0)
    return undefined;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function typeName(def: Unwrapped['def']): string {
  if (def.type === 'enum')
    return Object.values(def.entries)
      .map((word) => `\`${word}\``)
      .join(', ');
  const names: Partial<Record<string, string>> = {
    object: 'section',
    record: 'map',
    array: 'list',
    boolean: 'bool',
    number: 'number',
  };
  return names[def.type] ?? def.type;
}
