import { z } from 'zod';
import type { AnyFactory } from '../component/factory.ts';
import type { ComponentKind } from '../component/id.ts';
import { serviceSchema } from './schema/service.ts';

type JsonSchema = z.core.JSONSchema.BaseSchema;

const KINDS: readonly ComponentKind[] = ['receiver', 'processor', 'exporter', 'extension'];
/** A reference may stand in the place of any value. */
const REFERENCE: JsonSchema = { type: 'string', pattern: '\\$\\{' };
const DURATION = '^\\+?(0|((\\d+\\.?\\d*|\\.\\d+)(ns|us|µs|μs|ms|s|m|h))+)$';
const SIZE = '^\\d+(\\.\\d+)? ?(B|KiB|MiB|GiB|TiB)$';

/** What the settings' own words for their types are in JSON Schema. */
const TYPES: Readonly<Record<string, JsonSchema>> = {
  duration: { anyOf: [{ type: 'string', pattern: DURATION }, { const: 0 }] },
  size: {
    anyOf: [
      { type: 'string', pattern: SIZE },
      { type: 'integer', minimum: 0 },
    ],
  },
  secret: { type: ['string', 'null'] },
  int: { type: 'integer' },
  float64: { type: 'number' },
};

/** JSON Schema of a whole configuration file, for editors: completion, descriptions, mistakes as one types. */
export function configJsonSchema(factories: readonly AnyFactory[]): JsonSchema {
  const sections = KINDS.map((kind) => {
    const ofKind = factories.filter((factory) => factory.kind === kind);
    const patterns = ofKind.flatMap((factory) => {
      const schema = schemaOf(factory);
      return [factory.type, ...(factory.aliases ?? [])].map((type) => [
        `^\\s*${type}\\s*(/\\s*[^\\s\\p{Cc}]+\\s*)?$`,
        schema,
      ]);
    });
    return [
      `${kind}s`,
      {
        anyOf: [
          { type: ['object', 'null'], patternProperties: Object.fromEntries(patterns), additionalProperties: false },
          REFERENCE,
        ],
      },
    ];
  });
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Configuration of outband',
    type: 'object',
    properties: {
      plugins: {
        anyOf: [{ type: ['array', 'null'], items: { type: 'string' } }, REFERENCE],
        description: 'Packages or paths with components of ones own; they have the rights of the agent.',
      },
      ...Object.fromEntries(sections),
      service: toJson(serviceSchema),
    },
    required: ['service'],
    additionalProperties: false,
  } as JsonSchema;
}

function schemaOf({ schema, summary, stability }: AnyFactory): JsonSchema {
  const words =
    typeof stability === 'string'
      ? stability
      : Object.entries(stability)
          .map((pair) => pair.join(' '))
          .join(', ');
  return { anyOf: [{ ...toJson(schema), description: `${summary} Stability: ${words}.` }, { type: 'null' }] };
}

function toJson(schema: z.ZodType): JsonSchema {
  const { $schema: _, ...json } = z.toJSONSchema(schema, {
    ...{ io: 'input', unrepresentable: 'any', reused: 'inline' },
    override: ({ jsonSchema }) => asJsonSchema(jsonSchema),
  });
  allowNulls(json);
  return json;
}

/** In place, as the library wants it. */
function asJsonSchema(json: JsonSchema): void {
  const { alsoWord, unit, since } = json as JsonSchema & { alsoWord?: string; unit?: string; since?: string };
  const description = describe(json, unit, since);
  const { type } = json;
  const known = typeof type === 'string' ? TYPES[type] : undefined;
  if (known) {
    const { minimum, maximum } = json;
    const bounds =
      'anyOf' in known ? {} : { ...(minimum !== undefined && { minimum }), ...(maximum !== undefined && { maximum }) };
    delete json.type;
    delete json.minimum;
    delete json.maximum;
    Object.assign(json, { anyOf: [...(known.anyOf ?? [{ ...known, ...bounds }]), REFERENCE] });
  } else if (type === 'integer' || type === 'number' || type === 'boolean') allowReference(json);
  else if (json.enum) {
    json.anyOf = [{ enum: json.enum }, REFERENCE];
    delete json.enum;
    delete json.type;
  } else if (type === 'object' || type === 'array' || (type === 'string' && isNarrow(json))) allowReference(json);
  else if (typeof type === 'string' && type !== 'string' && type !== 'null') delete json.type;
  if (alsoWord !== undefined) json.anyOf = [...(json.anyOf ?? []), { const: alsoWord }];
  if (description !== undefined) json.description = description;
}

/** `null` is "use the default", wherever there is one. */
function allowNulls(node: unknown): void {
  if (typeof node !== 'object' || node === null) return;
  Object.values(node).forEach(allowNulls);
  const { properties = {}, required = [], additionalProperties } = node as JsonSchema;
  const optional = Object.entries(properties).filter(([key]) => !required.includes(key));
  for (const setting of [...optional.map(([, one]) => one), additionalProperties]) {
    if (typeof setting !== 'object') continue;
    const { type, anyOf } = setting;
    if (anyOf) setting.anyOf = [...anyOf, { type: 'null' }];
    else if (typeof type === 'string') Object.assign(setting, { type: [type, 'null'] });
  }
}

/** What is said of a setting, with its unit and version; a part of one without a description keeps them for the whole. */
function describe(json: JsonSchema, unit: string | undefined, since: string | undefined): string | undefined {
  delete (json as Record<string, unknown>).alsoWord;
  if (json.description === undefined) return undefined;
  for (const ours of ['unit', 'since']) delete (json as Record<string, unknown>)[ours];
  const more = [unit && `Unit: ${unit}.`, since && `Since ${since}.`].filter(Boolean);
  return [json.description, ...more].join(' ');
}

/** Not every text will do: one with a reference in it is not known yet. */
function isNarrow({ pattern, minLength, maxLength, format }: JsonSchema): boolean {
  return [pattern, minLength, maxLength, format].some((rule) => rule !== undefined);
}

function allowReference(json: JsonSchema): void {
  const { description, default: fallback, ...rest } = { ...json };
  for (const key of Object.keys(json)) delete (json as Record<string, unknown>)[key];
  Object.assign(json, {
    ...(description !== undefined && { description }),
    ...(fallback !== undefined && { default: fallback }),
    anyOf: [rest, REFERENCE],
  });
}
