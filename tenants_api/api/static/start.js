// Starts Swagger UI with what the page says in data attributes; an inline script would need a weaker policy.
const settings = document.getElementById("swagger-ui").dataset;
const ui = SwaggerUIBundle({
  url: settings.openapi,
  dom_id: "#swagger-ui",
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: null,
  oauth2RedirectUrl: new URL("oauth2-redirect.html", document.currentScript.src).href,
});
if (settings.clientId) {
  ui.initOAuth({ clientId: settings.clientId, scopes: settings.scopes, usePkceWithAuthorizationCodeGrant: true });
}
