import { forwardIntake } from "../_shared/forward.ts";

Deno.serve(forwardIntake);
