"""French. Letters that the GSM alphabet lacks are written without their accent."""

from chalicelib.domain.errors import Refusal
from chalicelib.sms.language import Language

FRENCH = Language(
    code="fr",
    appliance="appareil",
    arrears="arriérés",
    access_rate="abonnement",
    energy="énergie",
    time="temps",
    credit="crédit",
    credit_used="crédit utilisé",
    thanks="Merci {name}.",
    thanks_to_nobody="Merci.",
    day="{number} jour",
    days="{number} jours",
    energy_typed="{units} kWh pour le compteur {serial_number}. Code: {token}",
    time_typed="{days} pour {serial_number}. Code: {token}",
    unlock_typed="{serial_number} est entièrement payé. Code de déblocage: {token}",
    set_typed="Veuillez saisir sur {serial_number}: {token}",
    typed_before="Tapez d'abord: {before}. Puis: {text}",
    energy_sent="{units} kWh envoyés au compteur {serial_number}.",
    time_sent="{days} envoyés à {serial_number}.",
    unlock_sent="{serial_number} est entièrement payé et débloqué.",
    set_sent="{serial_number} est réglé sur ce qui est payé.",
    debts_only="Pas de code: tout a servi à payer ce qui était du.",
    kept="Pas encore de code: le reste est gardé pour votre prochain paiement.",
    unlock_held="Nous vérifions le déverrouillage de {serial_number}. Nous vous écrirons.",
    held="Nous vérifions votre paiement de {money} pour {serial_number}. "
    "Ne payez pas de nouveau, nous vous écrirons. Réf {reference}",
    unusable="Nous ne pouvons pas utiliser {money} pour {serial_number}: vérifiez le numéro. "
    "L'argent est en sécurité et sera rendu. Réf {reference}",
    refunded="Nous avons rendu {money}, payés pour {serial_number}. Réf {reference}",
    refused="Votre paiement de {money} pour {serial_number} est refusé: {reason}. "
    "Rien n'a été prélevé. Réf {reference}",
    reasons={
        Refusal.PAUSED: "ce mode de paiement est en pause, réessayez plus tard",
        Refusal.INVALID_AMOUNT: "ce montant n'est pas possible",
        Refusal.WRONG_CURRENCY: "cette monnaie n'est pas acceptée",
        Refusal.UNKNOWN_DEVICE: "ce numéro n'est pas connu",
        Refusal.DEVICE_UNASSIGNED: "l'appareil n'appartient à personne",
        Refusal.NO_TARIFF: "le compteur n'a pas de tarif",
        Refusal.NO_PLAN: "l'appareil n'a pas de plan de paiement",
        Refusal.NOTHING_TO_PAY: "il ne reste rien à payer",
        Refusal.TOO_SMALL: "le montant est trop petit",
    },
)
