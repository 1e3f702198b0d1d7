import { forwardAdmin } from "../_shared/forward.ts";

Deno.serve(forwardAdmin);
