package bench;

import java.util.Map;

import io.quarkus.security.Authenticated;
import io.smallrye.common.annotation.NonBlocking;
import jakarta.inject.Inject;
import jakarta.ws.rs.GET;
import jakarta.ws.rs.Path;
import org.eclipse.microprofile.jwt.JsonWebToken;

/** The two routes; methods that do not block run on the event loop, the fastest that Quarkus has. */
@Path("/")
public class Peer {
    @Inject
    JsonWebToken token;

    @GET
    @Path("open")
    @NonBlocking
    public Map<String, String> open() {
        return Map.of("tenant", "acme");
    }

    @GET
    @Path("bench")
    @Authenticated
    @NonBlocking
    public Map<String, String> bench() {
        String issuer = token.getIssuer();
        return Map.of("tenant", issuer.substring(issuer.lastIndexOf('/') + 1));
    }
}
