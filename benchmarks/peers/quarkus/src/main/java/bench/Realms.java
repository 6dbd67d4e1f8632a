package bench;

import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

import io.quarkus.oidc.OidcRequestContext;
import io.quarkus.oidc.OidcTenantConfig;
import io.quarkus.oidc.TenantConfigResolver;
import io.smallrye.mutiny.Uni;
import io.vertx.core.json.DecodeException;
import io.vertx.core.json.JsonObject;
import io.vertx.ext.web.RoutingContext;
import jakarta.enterprise.context.ApplicationScoped;

/** Picks the realm by the token's issuer, as Quarkus' documentation does; the environment names the issuers. */
@ApplicationScoped
public class Realms implements TenantConfigResolver {
    private static final String AUDIENCE = System.getenv("PEER_AUDIENCE");
    private static final Set<String> ISSUERS = Set.of(System.getenv("PEER_ISSUERS").split(","));

    private final Map<String, OidcTenantConfig> configurations = new ConcurrentHashMap<>();

    @Override
    public Uni<OidcTenantConfig> resolve(RoutingContext call, OidcRequestContext<OidcTenantConfig> context) {
        String header = call.request().getHeader("Authorization");
        String issuer = header == null || !header.startsWith("Bearer ") ? null : issuerOf(header.substring(7));
        if (issuer == null || !ISSUERS.contains(issuer)) {
            return Uni.createFrom().nullItem();
        }
        return Uni.createFrom().item(configurations.computeIfAbsent(issuer, Realms::trusting));
    }

    /** Unverified: it chooses the keys that then must fit. Null for what is no token. */
    private static String issuerOf(String token) {
        String[] parts = token.split("\\.");
        if (parts.length != 3) {
            return null;
        }
        try {
            byte[] claims = Base64.getUrlDecoder().decode(parts[1]);
            return new JsonObject(new String(claims, StandardCharsets.UTF_8)).getString("iss");
        } catch (IllegalArgumentException | DecodeException | ClassCastException error) {
            return null;
        }
    }

    private static OidcTenantConfig trusting(String issuer) {
        return OidcTenantConfig.authServerUrl(issuer)
                .tenantId(issuer.substring(issuer.lastIndexOf('/') + 1))
                .discoveryEnabled(false)
                .jwksPath("/protocol/openid-connect/certs")
                .token().issuer(issuer).audience(AUDIENCE).end()
                .build();
    }
}
