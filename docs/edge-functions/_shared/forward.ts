// Passes a request on to the tracking API and its answer back, so that dashboards and sites go on
// calling https://<project>.supabase.co/functions/v1/<name>.
//
// Secret: TRACKING_API_URL, where `tracking-pipeline serve` is reached, for example
// https://tracking.example.com. The functions check nobody: the API does.

const CORS = {
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
  "Access-Control-Allow-Headers":
    "authorization, apikey, content-type, idempotency-key, x-api-key, x-client-info, x-region, x-retry-count",
  "Access-Control-Expose-Headers": "Location, Retry-After",
};
const ANSWERED = ["content-type", "location", "retry-after", "www-authenticate"];
// Longer than the API ever takes, and shorter than an edge function may be idle (150 s).
const PATIENCE_MS = 100_000;

/** For admins: their own token goes along. */
export function forwardAdmin(request: Request): Promise<Response> {
  return forward(request, ["authorization", "content-type"]);
}

/** For a site's visitors: the key of the site goes along, and who the visitor is. The API sees this
 * function's address, so the visitor's is named beside the body; what the body itself says of its
 * visitor comes first there. */
export function forwardIntake(request: Request): Promise<Response> {
  const passed = ["apikey", "x-api-key", "content-type", "idempotency-key", "user-agent"];
  const address = request.headers.get("x-forwarded-for")?.split(",")[0].trim() ?? "";
  return forward(request, passed, { "x-visitor-address": address });
}

async function forward(
  request: Request,
  passed: string[],
  added: Record<string, string> = {},
): Promise<Response> {
  if (request.method === "OPTIONS") return new Response(null, { status: 204, headers: CORS });
  const api = Deno.env.get("TRACKING_API_URL")?.replace(/\/+$/, "");
  if (!api) return unavailable("the secret TRACKING_API_URL is not set");
  const { pathname, search } = new URL(request.url);
  const path = pathname.replace(/^\/functions\/v1/, "");
  try {
    const answer = await fetch(`${api}/functions/v1${path}${search}`, {
      method: request.method,
      headers: { ...only(request.headers, passed), ...added },
      body: request.method === "POST" ? await request.arrayBuffer() : undefined,
      redirect: "manual",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    const headers = { ...only(answer.headers, ANSWERED), ...CORS };
    return new Response(answer.body, { status: answer.status, headers });
  } catch {
    // A sender that gets no 2xx sends the same again; the API records it once.
    return unavailable("the tracking API does not answer: send this again later");
  }
}

function only(headers: Headers, names: string[]): Record<string, string> {
  const found = names.map((name) => [name, headers.get(name)]);
  return Object.fromEntries(found.filter(([, value]) => value !== null));
}

function unavailable(error: string): Response {
  const headers = { ...CORS, "Retry-After": "5" };
  return Response.json({ success: false, error }, { status: 503, headers });
}
