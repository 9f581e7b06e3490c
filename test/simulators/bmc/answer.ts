/** What a BMC answers to one request for JSON. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Written as JSON; undefined: no body. */
  readonly body?: unknown;
}

/** An error in the form that Redfish prescribes. */
export function redfishError(status: number, code: string, headers?: Readonly<Record<string, string>>): Answer {
  return { status, body: { error: { code: `Base.1.0.${code}`, message: code } }, ...(headers && { headers }) };
}

/** The bytes of its body. */
export function bodyOf(answer: Answer): Buffer {
  return Buffer.from(answer.body === undefined ? '' : JSON.stringify(answer.body));
}
