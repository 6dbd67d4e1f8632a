package bench;

import java.util.Collection;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.security.authentication.AuthenticationManager;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.config.http.SessionCreationPolicy;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.core.DelegatingOAuth2TokenValidator;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtClaimNames;
import org.springframework.security.oauth2.jwt.JwtClaimValidator;
import org.springframework.security.oauth2.jwt.JwtValidators;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;
import org.springframework.security.oauth2.server.resource.authentication.JwtAuthenticationProvider;
import org.springframework.security.oauth2.server.resource.authentication.JwtIssuerAuthenticationManagerResolver;
import org.springframework.security.web.SecurityFilterChain;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/** A resource server as Spring's documentation makes it for many issuers; the environment names them and the audience. */
@SpringBootApplication
@RestController
public class Peer {
    private static final String AUDIENCE = System.getenv("PEER_AUDIENCE");
    private static final Set<String> ISSUERS = Set.of(System.getenv("PEER_ISSUERS").split(","));

    private final Map<String, AuthenticationManager> managers = new ConcurrentHashMap<>();

    public static void main(String[] arguments) {
        SpringApplication.run(Peer.class, arguments);
    }

    @GetMapping("/open")
    Map<String, String> open() {
        return Map.of("tenant", "acme");
    }

    @GetMapping("/bench")
    Map<String, String> bench(@AuthenticationPrincipal Jwt token) {
        String issuer = token.getClaimAsString(JwtClaimNames.ISS);
        return Map.of("tenant", issuer.substring(issuer.lastIndexOf('/') + 1));
    }

    @Bean
    SecurityFilterChain security(HttpSecurity http) throws Exception {
        JwtIssuerAuthenticationManagerResolver resolver = new JwtIssuerAuthenticationManagerResolver(this::managerOf);
        return http.csrf(csrf -> csrf.disable())
                .sessionManagement(session -> session.sessionCreationPolicy(SessionCreationPolicy.STATELESS))
                .authorizeHttpRequests(all -> all.requestMatchers("/open").permitAll().anyRequest().authenticated())
                .oauth2ResourceServer(server -> server.authenticationManagerResolver(resolver))
                .build();
    }

    /** Null, and so a refusal, for an issuer that nobody named. */
    private AuthenticationManager managerOf(String issuer) {
        return ISSUERS.contains(issuer) ? managers.computeIfAbsent(issuer, Peer::trusting) : null;
    }

    private static AuthenticationManager trusting(String issuer) {
        NimbusJwtDecoder decoder =
                NimbusJwtDecoder.withJwkSetUri(issuer + "/protocol/openid-connect/certs").build();
        var audience = new JwtClaimValidator<Collection<String>>(
                JwtClaimNames.AUD, named -> named != null && named.contains(AUDIENCE));
        decoder.setJwtValidator(new DelegatingOAuth2TokenValidator<>(
                JwtValidators.createDefaultWithIssuer(issuer), audience));
        return new JwtAuthenticationProvider(decoder)::authenticate;
    }
}
